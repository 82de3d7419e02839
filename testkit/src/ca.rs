//! A certificate authority for tests: certificates good and bad, made on the spot and in memory.
//!
//! A fixture that cannot be made is a failed test, so nothing here returns an error. It knows
//! nothing of what reads the certificates.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevokedCertParams, SanType,
    SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const DAY: i64 = 24 * 60 * 60;

/// A root or intermediate authority with its key.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What a leaf's file must hold besides the leaf: this authority unless it is a root.
    intermediates: Vec<Certificate>,
    serial: SerialNumber,
    next_serial: AtomicU64,
}

impl Authority {
    /// A root that vouches for itself.
    pub fn root(common_name: &str) -> Self {
        let serial = SerialNumber::from(1_u64);
        let issuer =
            CertifiedIssuer::self_signed(authority_params(common_name, &serial), new_key())
                .expect("a root certificate");
        Self { issuer, intermediates: Vec::new(), serial, next_serial: AtomicU64::new(2) }
    }

    /// An authority below this one; its leaves carry it in their chain.
    pub fn intermediate(&self, common_name: &str) -> Self {
        let serial = self.take_serial();
        let params = authority_params(common_name, &serial);
        let issuer = CertifiedIssuer::signed_by(params, new_key(), &self.issuer)
            .expect("an intermediate certificate");
        let mut intermediates = vec![issuer.as_ref().clone()];
        intermediates.extend(self.intermediates.iter().cloned());
        Self { issuer, intermediates, serial, next_serial: AtomicU64::new(2) }
    }

    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn certificate_der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// What [`Authority::revoke`] takes, to revoke an intermediate.
    pub fn serial(&self) -> SerialNumber {
        self.serial.clone()
    }

    /// A leaf for a server of this DNS name or address, good until it is bent otherwise.
    pub fn server(&self, name: &str) -> LeafBuilder<'_> {
        LeafBuilder::new(self, "server", ExtendedKeyUsagePurpose::ServerAuth).name(name)
    }

    /// A leaf for a client, without any alternative name.
    pub fn client(&self, common_name: &str) -> LeafBuilder<'_> {
        LeafBuilder::new(self, common_name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A revocation list in PEM, valid for a day.
    pub fn revoke(&self, serials: &[SerialNumber]) -> String {
        self.revocation_list(serials, DAY)
    }

    /// A revocation list in PEM whose next issue was due an hour ago.
    pub fn stale_revocation_list(&self, serials: &[SerialNumber]) -> String {
        self.revocation_list(serials, -DAY / 24)
    }

    fn revocation_list(&self, serials: &[SerialNumber], next_update: i64) -> String {
        let revoked = |serial: &SerialNumber| RevokedCertParams {
            serial_number: serial.clone(),
            revocation_time: date_time_ymd(1970, 1, 1) + since_1970(-DAY),
            reason_code: None,
            invalidity_date: None,
        };
        CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(-2 * DAY),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(next_update),
            crl_number: self.take_serial(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .and_then(|list| list.pem())
        .expect("a revocation list")
    }

    fn take_serial(&self) -> SerialNumber {
        // Wide enough that no serial is a prefix of another or needs a sign byte.
        SerialNumber::from(0x1000_0000 + self.next_serial.fetch_add(1, Ordering::Relaxed))
    }
}

/// A leaf in the making. Every method bends one property.
pub struct LeafBuilder<'a> {
    authority: &'a Authority,
    params: CertificateParams,
    algorithm: &'static SignatureAlgorithm,
}

impl<'a> LeafBuilder<'a> {
    fn new(authority: &'a Authority, common_name: &str, usage: ExtendedKeyUsagePurpose) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(common_name);
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(-DAY);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(DAY);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.serial_number = Some(authority.take_serial());
        params.use_authority_key_identifier_extension = true;
        Self { authority, params, algorithm: &PKCS_ECDSA_P256_SHA256 }
    }

    /// One more alternative name: an address where it reads as one, else a DNS name.
    pub fn name(mut self, name: &str) -> Self {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().expect("an ASCII name")),
        };
        self.params.subject_alt_names.push(name);
        self
    }

    /// One more URI name.
    pub fn uri(mut self, uri: &str) -> Self {
        self.params.subject_alt_names.push(SanType::URI(uri.try_into().expect("an ASCII URI")));
        self
    }

    pub fn common_name(mut self, name: &str) -> Self {
        self.params.distinguished_name = distinguished_name(name);
        self
    }

    /// Only these uses, in place of the one it was begun for.
    pub fn uses(mut self, uses: &[ExtendedKeyUsagePurpose]) -> Self {
        self.params.extended_key_usages = uses.to_vec();
        self
    }

    /// Ended an hour ago.
    pub fn expired(self) -> Self {
        self.valid(-2 * DAY, -DAY / 24)
    }

    /// Begins in an hour.
    pub fn not_yet_valid(self) -> Self {
        self.valid(DAY / 24, DAY)
    }

    /// Seconds from now.
    pub fn valid(mut self, not_before: i64, not_after: i64) -> Self {
        self.params.not_before = date_time_ymd(1970, 1, 1) + since_1970(not_before);
        self.params.not_after = date_time_ymd(1970, 1, 1) + since_1970(not_after);
        self
    }

    /// An RSA key instead of an elliptic one; slow to make.
    pub fn rsa(mut self) -> Self {
        self.algorithm = &PKCS_RSA_SHA256;
        self
    }

    pub fn issue(self) -> Leaf {
        let key = KeyPair::generate_for(self.algorithm).expect("a key");
        let certificate =
            self.params.signed_by(&key, &self.authority.issuer).expect("a leaf certificate");
        let mut chain = vec![certificate];
        chain.extend(self.authority.intermediates.iter().cloned());
        Leaf { chain, key, serial: self.params.serial_number.expect("set at the start") }
    }
}

/// A leaf with its key and the chain up to, but without, the root.
pub struct Leaf {
    chain: Vec<Certificate>,
    key: KeyPair,
    serial: SerialNumber,
}

impl Leaf {
    /// Leaf first, as a `certFile` holds it.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::pem).collect()
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        self.chain.iter().map(|certificate| certificate.der().clone()).collect()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub fn serial(&self) -> SerialNumber {
        self.serial.clone()
    }
}

/// A directory for PEM files that goes with its owner.
pub struct PemDirectory(tempfile::TempDir);

impl PemDirectory {
    pub fn create() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes or replaces a file.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, contents).expect("a file in the temporary directory");
        path
    }

    /// Writes `{name}.crt` and `{name}.key`.
    pub fn write_leaf(&self, name: &str, leaf: &Leaf) -> (PathBuf, PathBuf) {
        let certificate = self.write(&format!("{name}.crt"), leaf.chain_pem());
        (certificate, self.write(&format!("{name}.key"), leaf.key_pem()))
    }
}

fn authority_params(common_name: &str, serial: &SerialNumber) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(-DAY);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(2 * DAY);
    params.serial_number = Some(serial.clone());
    params
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// The time since 1970 of a moment so many seconds from now.
fn since_1970(seconds_from_now: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let now = i64::try_from(now.as_secs()).expect("a clock before the end of time");
    Duration::from_secs(u64::try_from(now + seconds_from_now).expect("a moment after 1970"))
}
