//! A small TLS-terminating proxy before a plain port, and the certificates for it, made anew for each test.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// An authority, with the folder that its files are in.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    name: String,
}

/// A certificate and its key, as files.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let authority = Authority {
            issuer: CertifiedIssuer::self_signed(params, key).expect("an authority"),
            folder: folder.to_owned(),
            name: name.to_owned(),
        };
        fs::write(authority.ca_file(), authority.issuer.pem()).expect("a file");
        authority
    }

    /// Its own certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// A certificate for a name.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.sign(
            name,
            CertificateParams::new([name.to_owned()]).expect("a name"),
        )
    }

    /// One that is not valid any more.
    pub(crate) fn expired_identity(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        self.sign(&format!("{name}-expired"), params)
    }

    fn sign(&self, file: &str, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |end: &str| self.folder.join(format!("{}-{file}.{end}", self.name));
        let (cert_file, key_file) = (path("crt"), path("key"));
        fs::write(&cert_file, certificate.pem()).expect("a file");
        fs::write(&key_file, key.serialize_pem()).expect("a file");
        Identity {
            cert_file,
            key_file,
        }
    }
}

/// The proxy. It ends with its owner.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Front {
    /// Terminates TLS before `target`, and asks clients for certificates of an authority if one is given.
    pub(crate) async fn start(
        target: SocketAddr,
        identity: &Identity,
        clients: Option<&Authority>,
    ) -> Front {
        let acceptor = TlsAcceptor::from(Arc::new(config(identity, clients)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // Its end is what the client makes of it.
                    if let Ok(mut stream) = acceptor.accept(stream).await
                        && let Ok(mut plain) = TcpStream::connect(target).await
                    {
                        let _ = copy_bidirectional(&mut stream, &mut plain).await;
                    }
                });
            }
        });
        Front {
            address,
            _tasks: tasks,
        }
    }
}

fn config(identity: &Identity, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(authority.issuer.der().clone())
                .expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let chain = CertificateDer::pem_file_iter(&identity.cert_file).expect("a file");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&identity.key_file).expect("a key");
    let mut config = builder.with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
