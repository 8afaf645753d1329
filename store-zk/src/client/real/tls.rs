//! TLS options from PEM files.

use std::path::Path;

use zookeeper_client::TlsOptions;

use crate::client::config::TlsFiles;

/// Reads the files and makes the crate's options of them. Host names are verified: turning that off is not offered.
///
/// # Errors
/// The file and the reason.
pub(super) fn options(files: &TlsFiles) -> Result<TlsOptions, String> {
    let in_file = |file: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let authorities = read_pem(&files.truststore)?;
    let options = TlsOptions::new().with_pem_ca(&authorities).map_err(|error| in_file(&files.truststore, &error))?;
    let Some(keystore) = &files.keystore else { return Ok(options) };
    let identity = read_pem(keystore)?;
    if identity.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return Err(in_file(
            keystore,
            &"the private key is encrypted, which can't be read here: decrypt it with `openssl pkcs8 -in KEY -out \
              PLAIN` and restrict the file's permissions",
        ));
    }
    options.with_pem_identity(&identity, &identity).map_err(|error| in_file(keystore, &error))
}

fn read_pem(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{} can't be read: {error}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if !text.contains("-----BEGIN ") {
        return Err(format!(
            "{} is no PEM file: convert a PKCS12 store with `openssl pkcs12 -in STORE -out FILE.pem`, a JKS store \
             with `keytool -importkeystore -deststoretype PKCS12` first",
            file.display()
        ));
    }
    Ok(text)
}
