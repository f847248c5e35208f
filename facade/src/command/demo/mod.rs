//! `vestibule demo`

mod cluster;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use vestibule_core::{
    fault::Fault,
    mapping::plan::Mapping,
    ports::{Login, Use},
};

use self::cluster::Cluster;
use super::{End, Stop, outset, serve::Serve, stacks};
use crate::{screen, wiring::Plans};

/// The sample, as it is in `samples/orders`: the demonstration needs nothing beside the binary.
const FILES: [(&str, &str); 6] = [
    ("vestibule.yaml", include_str!("../../../../samples/orders/vestibule.yaml")),
    ("writer.sh", include_str!("../../../../samples/orders/writer.sh")),
    (
        "mappings/orders-trigger.map.yaml",
        include_str!("../../../../samples/orders/mappings/orders-trigger.map.yaml"),
    ),
    ("mappings/orders-log.map.yaml", include_str!("../../../../samples/orders/mappings/orders-log.map.yaml")),
    (
        "mappings/order-risk.rules.yaml",
        include_str!("../../../../samples/orders/mappings/order-risk.rules.yaml"),
    ),
    (
        "mappings/payment-risk.rules.yaml",
        include_str!("../../../../samples/orders/mappings/payment-risk.rules.yaml"),
    ),
];
const LOGIN: &str = include_str!("../../../../samples/orders/login.sql");
const SCHEMA: &str = include_str!("../../../../samples/orders/schema.sql");
const SEED: &str = include_str!("../../../../samples/orders/seed.sql");

/// Show a flow with everything that it needs on this machine
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule demo orders")]
pub struct Demo {
    #[command(subcommand)]
    command: DemoCommand,
}

#[derive(Debug, Subcommand)]
enum DemoCommand {
    Orders(Orders),
}

/// Serve samples/orders on a PostgreSQL of its own, which is gone afterwards
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule demo orders
  vestibule demo orders --listen 127.0.0.1:0      # a free port; the ready line names it

Needs PostgreSQL's server programs: the Debian package `postgresql`, or their directory in VESTIBULE_POSTGRES_BIN.
A private server is started, schema and rows of an old shop are put in, what `vestibule db install` prints is run as its DBA would,
and then `vestibule serve`. Ctrl-C ends all of it and removes the directory.")]
struct Orders {
    /// Address and port of Vestibule
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Port of the database; a free one when left out
    #[arg(long, value_name = "PORT")]
    database_port: Option<u16>,
}

impl Demo {
    /// Shows.
    pub fn run(self) -> Result<End, Stop> {
        match self.command {
            DemoCommand::Orders(it) => it.run(),
        }
    }
}

impl Orders {
    fn run(self) -> Result<End, Stop> {
        // Begins this process anew, which nothing of ours may outlive.
        stacks::deepen()?;
        let cluster = Cluster::start(self.database_port).map_err(Stop::not_reachable)?;
        let desk = desk(&cluster)
            .map_err(|cause| Stop::failed(format!("the sample can not be written: {cause}")))?;
        for (user, database, statements) in
            [("postgres", "postgres", LOGIN), ("shop", "orders", SCHEMA), ("shop", "orders", SEED)]
        {
            cluster.psql(user, database, statements).map_err(Stop::failed)?;
        }
        screen::tell(
            "the shop's database is there; its DBA installs what the mappings need (vestibule db install)",
        );
        installed(&desk)?;
        screen::tell(&invitation(&cluster, &desk));
        let end = Serve { dir: desk, listen: self.listen }.run();
        drop(cluster);
        screen::tell("the private PostgreSQL and its directory are gone");
        end
    }
}

fn desk(cluster: &Cluster) -> std::io::Result<PathBuf> {
    let desk = cluster.directory().join("orders");
    fs::create_dir_all(desk.join("mappings"))?;
    for (name, text) in FILES {
        let text = match name {
            "vestibule.yaml" => text.replace("port: 5432", &format!("port: {}", cluster.port())),
            _ => text.to_owned(),
        };
        fs::write(desk.join(name), text)?;
    }
    Ok(desk)
}

/// Runs what `vestibule db install` runs, as the DBA; the text of it is kept for reading.
fn installed(desk: &Path) -> Result<(), Stop> {
    let registry = outset::registry();
    let mut plans = Plans::read(outset::directory(desk)?, &registry);
    let runtime = outset::runtime()?;
    let house = outset::house(&mut plans, &runtime)?;
    let uses: Vec<Use> = house.flows.iter().flat_map(|flow| uses(&flow.mapping)).collect();
    let failed = |fault: Fault| Stop::failed(format!("the database can not be prepared: {fault}"));
    for connection in &house.channels.connections {
        let Some(database) = connection.database() else { continue };
        let scripts = database.scripts(&uses).map_err(failed)?;
        fs::write(desk.join("install.sql"), &scripts.install)?;
        fs::write(desk.join("uninstall.sql"), &scripts.uninstall)?;
        let dba = Login { user: "postgres".into(), password: None };
        runtime.block_on(database.execute(&scripts.install, Some(&dba))).map_err(failed)?;
    }
    Ok(())
}

fn uses(mapping: &Arc<Mapping>) -> Vec<Use> {
    let none = Use { mapping: Arc::clone(mapping), receive: None, deliver: None };
    let receives = mapping.receive.iter().map(|it| Use { receive: Some(it.clone()), ..none.clone() });
    let delivers =
        mapping.handling.deliver.iter().map(|it| Use { deliver: Some(it.clone()), ..none.clone() });
    receives.chain(delivers).collect()
}

fn invitation(cluster: &Cluster, desk: &Path) -> String {
    let (port, desk) = (cluster.port(), desk.display());
    let psql = cluster.program("psql").display().to_string();
    format!(
        "In another terminal:\n\
         \n  {psql} -h 127.0.0.1 -p {port} -U shop orders          # the application's own login\n\
         \n  INSERT INTO orders (order_no, customer_no, total) VALUES (501, 7, 12500);\n  \
         SELECT order_no, total, risk_score, risk_note, risk_state FROM orders WHERE order_no >= 501;\n\
         \n  PGHOST=127.0.0.1 PGPORT={port} sh {desk}/writer.sh 30   # the application, for half a minute\n  \
         vestibule db status {desk}\n  \
         less {desk}/install.sql {desk}/uninstall.sql            # all that was put into the database, and how it goes\n\
         \nCtrl-C ends everything and removes it.\n"
    )
}
