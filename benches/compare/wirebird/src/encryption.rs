//! Options of sockets whose connections are encrypted.

use wirebird::{EndpointOptions, Error, SocketOptions, TlsConfig};

/// `TLS_NAME` of `../peers/common.h`.
const NAME: &str = "localhost";

/// For listeners: a file with both the certificate and its key.
pub fn showing(options: SocketOptions, certificate: &str) -> Result<SocketOptions, Error> {
    let config = TlsConfig::new().certificate_files(certificate, certificate)?;
    Ok(options.endpoint(EndpointOptions::new().tls(config)))
}

/// For dialers.
pub fn trusting(options: SocketOptions, ca: &[u8]) -> Result<SocketOptions, Error> {
    let config = TlsConfig::new().ca(ca)?.server_name(NAME)?;
    Ok(options.endpoint(EndpointOptions::new().tls(config)))
}
