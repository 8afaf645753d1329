//! TLS against a real server, with certificates made for the occasion.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use store_zk::client::config::{TlsFiles, ZkClientConfig};
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{ConnectError, ZkConnector};
use store_zk::testkit::server::{ServerOptions, ServerTls, ZkServer};
use tempfile::TempDir;

use crate::{config, connect, node, own_server, run};

/// Two authorities; the first one's server (for the name "localhost") and client.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn make() -> Self {
        let folder = TempDir::new().unwrap();
        let at = folder.path();
        for authority in ["ca", "stranger"] {
            let subject = format!("/CN={authority}");
            let (key, out) = (format!("{authority}.key"), format!("{authority}.pem"));
            openssl(
                at,
                &[
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject, "-keyout", &key,
                    "-out", &out,
                ],
            );
        }
        std::fs::write(at.join("extensions"), "subjectAltName=DNS:localhost\n").unwrap();
        for owner in ["server", "client"] {
            let subject = format!("/CN={owner}");
            let [key, request, certificate] = ["key", "csr", "crt"].map(|suffix| format!("{owner}.{suffix}"));
            openssl(
                at,
                &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request],
            );
            openssl(
                at,
                &[
                    "x509",
                    "-req",
                    "-in",
                    &request,
                    "-CA",
                    "ca.pem",
                    "-CAkey",
                    "ca.key",
                    "-CAcreateserial",
                    "-days",
                    "2",
                    "-extfile",
                    "extensions",
                    "-out",
                    &certificate,
                ],
            );
            let [key, certificate] = [key, certificate].map(|file| std::fs::read_to_string(at.join(file)).unwrap());
            std::fs::write(at.join(format!("{owner}.pem")), format!("{key}{certificate}")).unwrap();
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn server(&self, client_auth: bool) -> ZkServer {
        let tls = ServerTls { keystore: self.file("server.pem"), truststore: self.file("ca.pem"), client_auth };
        own_server(ServerOptions { tls: Some(tls), ..ServerOptions::default() }).await
    }

    fn connector(&self, address: &str, truststore: &str, keystore: Option<&str>) -> ZooKeeperConnector {
        ZooKeeperConnector::new(ZkClientConfig {
            tls: Some(TlsFiles { truststore: self.file(truststore), keystore: keystore.map(|name| self.file(name)) }),
            connection_timeout: Duration::from_secs(5),
            ..config(address)
        })
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let run = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output = run.unwrap_or_else(|error| panic!("this test needs the program openssl: {error}"));
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn refusal(connector: ZooKeeperConnector) -> String {
    match connector.connect().await {
        Err(error @ ConnectError::Unreachable { .. }) => error.to_string(),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn a_trusted_server_is_spoken_to_with_tls_and_no_other() {
    run(async {
        let certificates = Certificates::make();
        let mut server = certificates.server(false).await;
        let address = server.secure_address();
        let s = connect(&certificates.connector(&address, "ca.pem", None)).await;
        s.multi(vec![node("/a")]).await.unwrap();

        for (address, truststore) in [
            // An authority that did not sign the server's certificate.
            (address.clone(), "stranger.pem"),
            // A name that the certificate doesn't have.
            (address.replace("localhost", "127.0.0.1"), "ca.pem"),
            // The plain port.
            (server.address().replace("127.0.0.1", "localhost"), "ca.pem"),
        ] {
            let text = refusal(certificates.connector(&address, truststore, None)).await;
            assert!(text.contains("does it speak TLS on this port"), "{text}");
        }
        let plain = ZkClientConfig { connection_timeout: Duration::from_secs(1), ..config(&address) };
        let text = refusal(ZooKeeperConnector::new(plain)).await;
        assert!(text.contains("does the port want TLS?"), "{text}");

        server.restart().await.unwrap();
        assert!(s.resume().await.unwrap().exists("/a").await.unwrap().is_some());
    });
}

#[test]
fn a_server_that_demands_a_certificate_gets_ours() {
    run(async {
        let certificates = Certificates::make();
        let server = certificates.server(true).await;
        let address = server.secure_address();
        refusal(certificates.connector(&address, "ca.pem", None)).await;
        let s = connect(&certificates.connector(&address, "ca.pem", Some("client.pem"))).await;
        s.multi(vec![node("/a")]).await.unwrap();
    });
}

#[test]
fn stores_that_are_no_usable_pem_are_refused_with_the_remedy() {
    run(async {
        let certificates = Certificates::make();
        openssl(
            certificates.folder.path(),
            &["pkcs12", "-export", "-in", "client.pem", "-out", "client.p12", "-passout", "pass:secret"],
        );
        openssl(
            certificates.folder.path(),
            &["pkcs8", "-topk8", "-in", "client.key", "-out", "encrypted.pem", "-passout", "pass:secret"],
        );
        for (truststore, keystore, remedy) in [
            ("client.p12", None, "openssl pkcs12"),
            ("ca.key", None, "no valid tls trust anchor"),
            ("ca.pem", Some("client.p12"), "openssl pkcs12"),
            ("ca.pem", Some("encrypted.pem"), "openssl pkcs8"),
        ] {
            let error = certificates.connector("localhost:1", truststore, keystore).connect().await.map(|_| ());
            let Err(ConnectError::Config(text)) = error else { panic!("{error:?}") };
            assert!(text.contains(remedy), "{text}");
        }
    });
}
