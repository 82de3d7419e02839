//! Customers for the shop: they browse, search, fill carts, order, pay, cancel and complain, all
//! through the gateway, and at the end the shop's books are checked against what they did.
//!
//! It knows the shop as any client does, by its REST and its feed; none of the services' code is
//! linked in. What a customer does next and whether the books balance is decided by pure code
//! ([`behaviour`], [`audit`]); everything else only carries it out.
//!
//! Exit codes: 0 all books balance, 1 something is wrong, 2 flags that cannot be right, 130 ended
//! by a second Ctrl-C.

use std::process::ExitCode;

use clap::Parser;

mod audit;
mod auditor;
mod behaviour;
mod card;
mod courier;
mod customer;
mod documents;
mod feed;
mod options;
mod record;
mod run;
mod session;
mod summary;
mod till;
mod wire;
mod words;

fn main() -> ExitCode {
    // Usage errors end the process here, with 2.
    let options = options::Options::parse();
    match run::run(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shop-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
