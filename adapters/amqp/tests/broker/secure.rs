//! TLS with a certificate authority of the house, client certificates, and EXTERNAL.

use std::{collections::BTreeMap, io};

use vestibule_core::{fault::Recovery, ports::Files};
use vestibule_testkit::rabbitmq::{Options, RabbitMq};

use crate::house::{connection, mapping, source};

/// Files beside `vestibule.yaml`.
#[derive(Default)]
pub struct Certificates(BTreeMap<String, Vec<u8>>);

impl Certificates {
    pub fn none() -> Self {
        Self::default()
    }
}

impl Files for Certificates {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Makes an authority, a certificate for 127.0.0.1 and one for the user `legacy`, with the `openssl` of the machine.
fn made(dir: &std::path::Path) -> Certificates {
    let script = r#"
set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=house
make() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n' >"$1.ext"
    openssl x509 -req -days 2 -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$1.pem" -extfile "$1.ext"
}
make server 127.0.0.1
make client legacy
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout other.key -out other.pem -subj /CN=other
"#;
    let made = std::process::Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let names = ["ca.pem", "server.pem", "server.key", "client.pem", "client.key", "other.pem"];
    let read = |name: &str| (name.to_owned(), std::fs::read(dir.join(name)).unwrap());
    Certificates(names.map(read).into_iter().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_says_who_we_are_and_a_strange_broker_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = made(dir.path());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let config = format!(
        "listeners.ssl.local = 127.0.0.1:{{amqps}}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
         auth_mechanisms.1 = EXTERNAL\nauth_mechanisms.2 = PLAIN\nssl_cert_login_from = common_name\n",
        at("ca.pem"),
        at("server.pem"),
        at("server.key")
    );
    let broker =
        RabbitMq::start_with(&Options { config, plugins: vec!["rabbitmq_auth_mechanism_ssl".into()] })
            .unwrap();
    broker.ctl(&["add_user", "legacy", "unused"]).unwrap();
    broker.ctl(&["set_permissions", "legacy", ".*", ".*", ".*"]).unwrap();
    let url = format!("url: amqps://{}/%2f\n", broker.tls_address());
    let external = "external: yes\ncert: client.pem\nkey: client.key\n";
    let mapping = mapping("queue: q, declare: yes", "");
    let open = async |settings: String| {
        let connection = connection(&settings, &files).unwrap();
        source(&connection, &mapping)
            .open(std::sync::Arc::new(vestibule_testkit::scripted_channel::Nowhere))
            .await
            .map(drop)
    };
    open(format!("{url}{external}ca: ca.pem\n")).await.unwrap();
    let strange = open(format!("{url}{external}ca: other.pem\n")).await.unwrap_err();
    assert_eq!(strange.recovery, Recovery::GiveUp, "{strange:?}");
    assert!(strange.message.contains("TLS"), "{strange}");
    // Who the machine trusts does not sign for this house.
    assert!(open(format!("{url}{external}")).await.is_err());
    let plain = "user: guest\npassword: BROKER_PASSWORD\ncert: client.pem\nkey: client.key\nca: ca.pem\n";
    open(format!("{url}{plain}")).await.unwrap();
    let nobody = "user: guest\npassword: BROKER_PASSWORD\nca: ca.pem\n";
    assert!(open(format!("{url}{nobody}")).await.is_err(), "without a certificate the broker hangs up");
}

#[test]
fn every_mistake_of_a_connection_is_reported_at_once() {
    let files = Certificates::none();
    for (settings, expected) in [
        ("url: http://h", &["A111", "A112"][..]),
        ("url: amqp://u:p@h\nuser: a\npassword: BROKER_PASSWORD", &["A111"]),
        ("url: amqp://h?heartbeat=1\nuser: a\npassword: BROKER_PASSWORD", &["A111"]),
        ("url: 'amqp://'\nuser: a\npassword: BROKER_PASSWORD", &["A111"]),
        ("url: amqp://h\nuser: a\npassword: s3cret!", &["A112"]),
        ("url: amqp://h\nuser: a\npassword: NOT_SET", &["A112"]),
        ("url: amqp://h\nuser: a\npassword: BROKER_PASSWORD\nca: ca.pem", &["A111"]),
        ("url: amqps://h\nuser: a\npassword: BROKER_PASSWORD\nca: ca.pem", &["A113"]),
        ("url: amqps://h\nexternal: yes", &["A112"]),
        ("url: amqps://h\nexternal: yes\nuser: a\ncert: c\nkey: k", &["A112", "A113"]),
        ("url: amqp://h\nuser: a\npassword: BROKER_PASSWORD\ntimeout: soon\nheartbeat: 1h", &["A114"]),
    ] {
        let shown = connection(settings, &files).err().unwrap_or_else(|| panic!("{settings}"));
        for code in expected {
            assert!(shown.contains(code), "{settings}: {shown}");
        }
        assert!(!shown.contains("s3cret") || settings.contains("s3cret"), "{shown}");
    }
}
