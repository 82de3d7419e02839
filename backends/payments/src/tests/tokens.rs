//! Tokens as the users service issues them, and a verifier that believes them.

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::json;

use super::*;

const ISSUER: &str = "http://users.test";
const AUDIENCE: &str = "shop";
const KID: &str = "test";

pub(super) struct Tokens {
    key: EncodingKey,
    jwks: JwkSet,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        // rcgen's default is P-256, the curve of ES256.
        let pair = KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(KID.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Self { key, jwks: JwkSet { keys: vec![jwk] }, clock }
    }

    pub(super) fn verifier(&self) -> Verifier {
        Verifier::with_keys(self.jwks.clone(), ISSUER, AUDIENCE, Arc::clone(&self.clock))
    }

    /// The value of an `Authorization` header.
    pub(super) fn bearer(&self, account: Uuid, scope: &str) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(KID.to_owned());
        let now = self.clock.now().seconds();
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": account, "scope": scope,
            "iat": now, "nbf": now, "exp": now + 900, "jti": Uuid::new_v4()});
        format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &self.key).unwrap())
    }
}
