//! A price as a page in a browser asks for it: by gRPC-Web. The service speaks plain gRPC; what
//! browsers can send and read of it is the gateway's work.

use anyhow::{Context, ensure};
use portcullis_testkit::http::Response;
use prost::Message;

use super::{Visit, expect};

const METHOD: &str = "/shop.inventory.v1.Inventory/Quote";
const CONTENT_TYPE: &str = "application/grpc-web+proto";
/// The flag of a frame that holds trailers instead of a message.
const TRAILERS: u8 = 0x80;

/// `shop.inventory.v1.QuoteRequest`, as far as a customer fills it in.
#[derive(Message)]
struct QuoteRequest {
    #[prost(message, repeated, tag = "1")]
    lines: Vec<Line>,
}

#[derive(Message)]
struct Line {
    #[prost(string, tag = "1")]
    product_id: String,
    #[prost(uint32, tag = "2")]
    quantity: u32,
}

/// `shop.inventory.v1.QuoteResponse`, as far as a customer reads it.
#[derive(Message)]
struct QuoteResponse {
    #[prost(message, optional, tag = "2")]
    total: Option<Money>,
}

#[derive(Message)]
struct Money {
    #[prost(int64, tag = "1")]
    minor_units: i64,
    #[prost(string, tag = "2")]
    currency: String,
}

impl Visit<'_> {
    pub(super) async fn asks_for_the_price(
        &mut self,
        product: Option<&str>,
    ) -> anyhow::Result<(String, ())> {
        let product = product.context("nothing was found to ask for")?;
        let lines = vec![Line { product_id: product.to_owned(), quantity: 2 }];
        let message = QuoteRequest { lines }.encode_to_vec();
        let length = u32::try_from(message.len())?.to_be_bytes();
        let frame = [&[0], &length[..], &message].concat();
        self.summary.requests += 1;
        let response = self.https.post_as(METHOD, CONTENT_TYPE, &["x-grpc-web: 1"], &frame).await?;
        expect(&response, 200)?;
        let total = total(&response)?;
        let (units, cents) = (total.minor_units / 100, total.minor_units % 100);
        let cost = format!("{units}.{cents:02} {}", total.currency);
        Ok((format!("200, gRPC status 0, 2 x {product} for {cost}"), ()))
    }
}

/// What the first frame says, if the last says that all is well.
fn total(response: &Response) -> anyhow::Result<Money> {
    let (flag, message, rest) = frame(&response.body).context("there is no message")?;
    ensure!(flag == 0, "the first frame's flag is {flag}");
    let (flag, trailers, rest) = frame(rest).context("there are no trailers")?;
    ensure!(flag == TRAILERS && rest.is_empty(), "the last frame's flag is {flag}");
    let trailers = String::from_utf8_lossy(trailers);
    let well = trailers.lines().any(|line| line.replace(' ', "") == "grpc-status:0");
    ensure!(well, "the trailers are {trailers:?}");
    QuoteResponse::decode(message)?.total.context("there is no total")
}

/// The flag, the content and what follows.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<5>()?;
    let [flag, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let (content, rest) = rest.split_at_checked(length)?;
    Some((flag, content, rest))
}
