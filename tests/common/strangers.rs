//! Peers over TLS that are not of this library: rustls itself, driven by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::SOON;
use super::certificates::{AUTHORITY, Identity};

pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;
pub(crate) type Server = StreamOwned<ServerConnection, TcpStream>;
pub(crate) type Versions = [&'static SupportedProtocolVersion];

/// The address in a URL of this machine.
pub(crate) fn address(url: &str) -> SocketAddr {
    let address = url.rsplit('/').next().expect("an address");
    address.parse().expect("an address and a port")
}

pub(crate) fn tcp(url: &str) -> TcpStream {
    let stream = TcpStream::connect(address(url)).expect("somebody listens");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream
}

fn chain(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    (vec![identity.der.clone().into()], key)
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let pem = AUTHORITY.pem();
    let ca = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    roots.add(ca).expect("a CA");
    roots
}

/// A client that trusts the test CA.
pub(crate) fn client(versions: &Versions, identity: Option<&Identity>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("known versions")
        .with_root_certificates(roots());
    match identity {
        Some(identity) => {
            let (chain, key) = chain(identity);
            builder.with_client_auth_cert(chain, key).expect("a key")
        }
        None => builder.with_no_client_auth(),
    }
}

/// A server with a certificate of the test CA; `demanding` one of its clients too.
pub(crate) fn server(versions: &Versions, demanding: bool) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("known versions");
    let (chain, key) = chain(&AUTHORITY.issue_local());
    let builder = if demanding {
        let roots = Arc::new(roots());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider);
        builder.with_client_cert_verifier(verifier.build().expect("a CA"))
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).expect("a key")
}

/// A server that shows a certificate whose key it has not.
pub(crate) fn server_with_stolen(shown: &Identity, own: &Identity) -> ServerConfig {
    let (_, key) = chain(own);
    let key = ring::sign::any_supported_type(&key).expect("a key");
    let stolen = CertifiedKey::new(vec![shown.der.clone().into()], key);
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)))
}

/// Connects to a listener. The handshake is made by the first read or write.
pub(crate) fn dial(url: &str, config: ClientConfig) -> Client {
    let name = address(url).ip().into();
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    StreamOwned::new(session, tcp(url))
}

/// Takes one connection.
pub(crate) fn accept(listener: &TcpListener, config: ServerConfig) -> Server {
    let (stream, _) = listener.accept().expect("somebody dials");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    let session = ServerConnection::new(Arc::new(config)).expect("a session");
    StreamOwned::new(session, stream)
}

/// Exchanges connection headers; returns the protocol number of the other end.
pub(crate) fn greet(stream: &mut (impl Read + Write), protocol: u16) -> std::io::Result<u16> {
    let [high, low] = protocol.to_be_bytes();
    stream.write_all(&[0, b'S', b'P', 0, high, low, 0, 0])?;
    let mut header = [0; 8];
    stream.read_exact(&mut header)?;
    Ok(u16::from_be_bytes([header[4], header[5]]))
}

/// A message as it goes over the wire.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_be_bytes(), body].concat()
}
