//! One response, waited for on a blocking socket.

use std::io::Read;
use std::net::TcpStream;

use anyhow::bail;

/// Reads one response with a content-length.
pub(crate) fn read_response(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut decoder = portcullis_testkit::http::Decoder::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            bail!("the engine closed the connection");
        }
        decoder.push(&buffer[..length]);
        if let Some(response) = decoder.response(false)? {
            if response.status != 200 {
                bail!("the engine answered {}", response.status);
            }
            return Ok(());
        }
    }
}
