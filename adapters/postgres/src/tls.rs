//! Encryption of the connections.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::{
    error::StoreError,
    settings::{Settings, Tls},
};

/// The rules for this store's connections.
pub(crate) fn client(settings: &Settings, authorities: Option<&[u8]>) -> Result<ClientConfig, StoreError> {
    if settings.tls == Tls::Verify && authorities.is_none() {
        let text = "to check the certificate of PostgreSQL, `ca` names a file with those of its authorities";
        return Err(StoreError::Setting(text.into()));
    }
    rules(settings.tls, authorities)
        .map_err(|source| StoreError::Authorities { path: settings.ca.clone().unwrap_or_default(), source })
}

/// The rules of one way of encryption. `authorities`: their certificates, without which nobody's can be verified.
pub(crate) fn rules(
    tls: Tls,
    authorities: Option<&[u8]>,
) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    match tls {
        Tls::Off | Tls::Require => {
            let anyone = Arc::new(Anyone { provider });
            Ok(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth())
        }
        Tls::Verify => {
            let roots = roots(authorities.unwrap_or_default())?;
            Ok(builder.with_root_certificates(roots).with_no_client_auth())
        }
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("there is no certificate in it".into()) } else { Ok(roots) }
}

/// Takes any certificate, as `sslmode=require` of PostgreSQL's own library does: against who listens, not against who
/// stands in between.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
