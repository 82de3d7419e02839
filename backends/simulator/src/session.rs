//! Somebody who is logged in: a customer, or the shop's own auditor. A token that has run out is
//! renewed as it is noticed.

use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::courier::{Courier, Found};
use crate::documents::Token;
use crate::options::Secret;
use crate::record::Call;
use crate::wire::{Reply, Request};

const EXPIRED: u16 = 401;

/// How one proves who one is. It does not print.
pub(crate) enum Credentials {
    Customer { email: String, password: String },
    Backoffice { secret: Secret },
}

impl Credentials {
    fn request(&self) -> (Call, Request) {
        match self {
            Self::Customer { email, password } => {
                let body = json!({"email": email, "password": password});
                (Call::LogIn, Request::post("/v1/sessions").json(&body))
            }
            Self::Backoffice { secret } => {
                let fields = [
                    ("grant_type", "client_credentials"),
                    ("client_id", "shop-backoffice"),
                    ("client_secret", secret.reveal()),
                    ("scope", "books:read stock:write"),
                ];
                (Call::Backoffice, Request::post("/oauth/token").form(&fields))
            }
        }
    }
}

pub(crate) struct Session {
    courier: Courier,
    credentials: Credentials,
    token: Mutex<String>,
}

impl Session {
    pub(crate) async fn begin(courier: Courier, credentials: Credentials) -> Result<Self, Found> {
        let session = Self { courier, credentials, token: Mutex::default() };
        session.renew().await?;
        Ok(session)
    }

    pub(crate) fn courier(&self) -> &Courier {
        &self.courier
    }

    pub(crate) fn token(&self) -> String {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another token.
    pub(crate) async fn renew(&self) -> Result<(), Found> {
        let (call, request) = self.credentials.request();
        let reply = self.courier.call(call, &request, &[200]).await?;
        let token: Token = self.courier.read(call, &reply)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token.access_token;
        Ok(())
    }

    /// The answer to a request with the token.
    pub(crate) async fn call(
        &self,
        call: Call,
        request: Request,
        expected: &[u16],
    ) -> Result<Reply, Found> {
        let request = request.token(&self.token());
        let or_expired: Vec<u16> = expected.iter().copied().chain([EXPIRED]).collect();
        let reply = self.courier.call(call, &request, &or_expired).await?;
        if reply.status.as_u16() != EXPIRED {
            return Ok(reply);
        }
        if reply.code().as_deref() != Some("token-expired") {
            let code = reply.code().unwrap_or_default();
            return Err(self.courier.found_in(call, &format!("status 401 {code}"), &reply));
        }
        self.renew().await?;
        self.courier.call(call, &request.token(&self.token()), expected).await
    }
}
