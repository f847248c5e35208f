//! The orders sample does what its README says, on a server of its own.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use vestibule_testkit::{postgres::Postgres, process::Server};

use crate::desk::{Desk, binary, root};

/// The shop's database, and a copy of the sample that knows where it is.
struct Shop {
    cluster: Postgres,
    desk: Desk,
}

impl Shop {
    fn open() -> Self {
        let cluster = Postgres::start(&["max_slot_wal_keep_size = '1GB'"]).unwrap();
        let desk = Desk::of("orders");
        let port = format!("port: {}", cluster.address().port());
        desk.edit("vestibule.yaml", "port: 5432", &port);
        let shop = Self { cluster, desk };
        shop.file("postgres", "postgres", "login.sql");
        shop.file("shop", "orders", "schema.sql");
        shop.file("shop", "orders", "seed.sql");
        shop
    }

    /// Runs a file by the server's own psql.
    fn file(&self, user: &str, database: &str, name: &str) {
        let port = self.cluster.address().port().to_string();
        let done = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                user,
                "-d",
                database,
            ])
            .arg("-f")
            .arg(self.desk.folder.path().join(name))
            .output()
            .unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn sql(&self, statements: &str) -> String {
        self.cluster.sql("orders", statements).unwrap()
    }

    fn db(&self, action: &str) -> String {
        let done = self.desk.run(&["db", action, ".", "--user", "postgres", "--yes"]);
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(done.status.success(), "db {action}: {said}");
        said
    }

    /// Starts the application for so many seconds.
    fn writer(&self, seconds: u32) -> Child {
        let port = self.cluster.address().port().to_string();
        Command::new("sh")
            .arg(self.desk.folder.path().join("writer.sh"))
            .arg(seconds.to_string())
            .envs([("PGHOST", "127.0.0.1"), ("PGPORT", port.as_str())])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The catalogue as text: what is defined, and who there is.
    fn catalogue(&self) -> String {
        let port = self.cluster.address().port().to_string();
        let print = |program: &str, arguments: &[&str]| {
            let done = Command::new(program)
                .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
                .args(arguments)
                .output()
                .unwrap();
            assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        let roles = print("pg_dumpall", &["--roles-only"]);
        let schema = print("pg_dump", &["-s", "orders"]);
        // Newer ones begin and end with a word of chance.
        let plain =
            |text: String| text.lines().filter(|it| !it.starts_with('\\')).collect::<Vec<_>>().join("\n");
        format!("{}\n{}", plain(roles), plain(schema))
    }

    /// Waits until the query says this.
    fn says(&self, query: &str, wanted: &str, server: &Server) {
        let start = Instant::now();
        loop {
            let said = self.sql(query);
            if said == wanted {
                return;
            }
            if start.elapsed() > Duration::from_secs(30) {
                panic!("{query}\nsays    {said:?}\nand not {wanted:?}\n{}", server.stderr());
            }
            sleep(Duration::from_millis(50));
        }
    }
}

fn jobs(shop: &Shop) -> usize {
    let listed = shop.desk.run(&["jobs", "list", ".", "--limit", "1000", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap().lines().count()
}

#[test]
fn orders_and_payments_get_their_score_once_and_uninstall_leaves_nothing() {
    let shop = Shop::open();
    let before = shop.catalogue();
    shop.db("install");
    assert_ne!(shop.catalogue(), before, "something was installed");
    let mut server = shop.desk.serve();
    let ready = Instant::now();
    while server.stderr().matches("a source is open").count() < 2 && ready.elapsed() < Duration::from_secs(10)
    {
        sleep(Duration::from_millis(50));
    }

    // By trigger: what the README shows, a blocked customer, one that is shipped already, one that is rolled back.
    shop.sql(
        "INSERT INTO orders (order_no, customer_no, total) VALUES (501, 7, 12500), (502, 13, 20), (503, 7, 20)",
    );
    shop.sql("INSERT INTO orders (order_no, customer_no, total, status) VALUES (504, 7, 99999, 'S')");
    shop.sql("BEGIN; UPDATE orders SET total = 0; ROLLBACK");
    let scores = "SELECT string_agg(concat_ws(' ', order_no, risk_score, risk_note, risk_state), '; ' ORDER BY order_no) \
                  FROM orders WHERE order_no > 500";
    shop.says(scores, "501 90 Large order OK; 502 PD; 503 5 Routine order OK; 504", &server);
    shop.sql("UPDATE orders SET total = 2500, note = 'deliver today', rev = rev + 1 WHERE order_no = 503");
    shop.says(scores, "501 90 Large order OK; 502 PD; 503 70 Large and in a hurry OK; 504", &server);

    // By log.
    shop.sql("INSERT INTO payments (pay_no, order_no, method, amount, country) VALUES (1, 501, 'CARD', 5, 'NG'), (2, 501, 'CASH', 1000, 'ES')");
    let payments =
        "SELECT string_agg(concat_ws(' ', pay_no, risk_score), '; ' ORDER BY pay_no) FROM payments";
    shop.says(payments, "1 80; 2 60", &server);

    // What was written back came back to nobody: one job for each change of the application that was not passed over.
    sleep(Duration::from_secs(3));
    let worked = jobs(&shop);
    assert!(
        (6..=8).contains(&worked),
        "{worked} jobs for 4 changes of orders and 2 payments\n{}",
        server.stderr()
    );
    sleep(Duration::from_secs(2));
    assert_eq!(jobs(&shop), worked, "they stay as many");

    server.terminate().unwrap();
    assert!(server.wait(Duration::from_secs(20)).unwrap().success(), "{}", server.stderr());
    shop.db("uninstall");
    assert_eq!(shop.catalogue(), before, "the catalogue is as it was");
    assert_eq!(shop.sql(payments), "1 80; 2 60", "what was written is data, and stays");
}

#[test]
fn everything_that_the_writer_wrote_while_the_desk_was_killed_is_scored() {
    let shop = Shop::open();
    shop.db("install");
    let mut server = shop.desk.serve();
    let mut writer = shop.writer(6);
    for _ in 0..3 {
        sleep(Duration::from_millis(1_500));
        server.kill().unwrap();
        server = shop.desk.serve();
    }
    let status = writer.wait().unwrap();
    assert!(status.success(), "the application never fails because of us");
    assert!(shop.sql("SELECT count(*) > 50 FROM orders WHERE order_no >= 1000") == "t", "it wrote");
    shop.says("SELECT count(*) FROM orders WHERE status = 'N' AND risk_state IS NULL", "0", &server);
    shop.says("SELECT count(*) FROM payments WHERE risk_score IS NULL", "0", &server);
    // The score is that of the row as it is: a change after the score was asked for is scored again.
    let wrong = "SELECT count(*) FROM orders WHERE status = 'N' AND customer_no NOT IN (13, 37) AND risk_score <> \
                 CASE WHEN total >= 10000 THEN 90 WHEN total >= 2000 AND note IS NOT NULL THEN 70 \
                 WHEN total >= 2000 THEN 40 ELSE 5 END";
    shop.says(wrong, "0", &server);
}

#[test]
fn the_demonstration_serves_a_shop_of_its_own_and_removes_it() {
    let own = tempfile::tempdir().unwrap();
    // The account that the server runs as must be able to pass.
    Command::new("chmod").arg("0755").arg(own.path()).status().unwrap();
    let mut server = Server::start(binary(), Duration::from_secs(60), |command, address| {
        command.args(["demo", "orders", "--listen", &address.to_string()]).env("TMPDIR", own.path());
    })
    .unwrap_or_else(|failed| panic!("{failed}"));
    let said = server.stderr();
    let port = said
        .split("-p ")
        .nth(1)
        .and_then(|it| it.split(' ').next())
        .unwrap_or_else(|| panic!("{said}"))
        .to_owned();
    let psql = |statements: &str| {
        let done = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "shop",
                "-d",
                "orders",
                "-c",
                statements,
            ])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    psql("INSERT INTO orders (order_no, customer_no, total) VALUES (501, 7, 12500)");
    let start = Instant::now();
    while psql("SELECT risk_score FROM orders WHERE order_no = 501") != "90" {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", server.stderr());
        sleep(Duration::from_millis(100));
    }
    server.terminate().unwrap();
    assert!(server.wait(Duration::from_secs(30)).unwrap().success(), "{}", server.stderr());
    let left: Vec<_> = fs::read_dir(own.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Whether the sample's files are right is said without any database.
#[test]
fn the_sample_is_without_mistakes() {
    let done = Command::new(binary()).arg("check").arg(root().join("samples/orders")).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success() && !said.contains("warning"), "{said}");
}

#[test]
fn the_writer_writes_as_an_application_does() {
    let shop = Shop::open();
    let status = shop.writer(2).wait().unwrap();
    assert!(status.success());
    let told = shop.sql(
        "SELECT (SELECT count(*) > 20 FROM orders WHERE order_no >= 1000), (SELECT count(*) > 10 FROM payments), \
         (SELECT count(*) < 20 FROM orders WHERE order_no <= 20), (SELECT count(*) FROM orders WHERE total = 0)",
    );
    assert_eq!(told, "t|t|t|0");
}
