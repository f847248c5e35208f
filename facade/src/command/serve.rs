//! `vestibule serve`

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use clap::Args;
use vestibule_core::runner::Runner;

use super::{
    End, Stop,
    operation::Operation,
    outset::{self, OpenStore},
    stacks,
    stop::Signals,
};
use crate::{
    house::{Front, House},
    http::{Patience, listener::Listener},
    log, screen,
    wiring::Plans,
};

/// Serve the flows of a directory over SOAP and JSON
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vestibule serve samples/quickstart
  vestibule serve samples/quickstart --listen 127.0.0.1:0   # a free port; the ready line names it

SIGTERM or SIGINT ends it well: no more connections, requests under way are answered, the store is closed.
A second one ends it at once; what was accepted is finished after the next start.")]
pub struct Serve {
    /// Directory with `vestibule.yaml` and `mappings/`
    pub(super) dir: PathBuf,
    /// Address and port, instead of the configured ones
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<SocketAddr>,
}

impl Serve {
    /// Serves until it is told to end.
    pub fn run(self) -> Result<End, Stop> {
        let started = Instant::now();
        let registry = outset::registry();
        let mut plans = Plans::read(outset::directory(&self.dir)?, &registry);
        let reads_queues = !plans.config.connections.is_empty();
        if reads_queues {
            stacks::deepen()?;
        }
        let runtime = if reads_queues { outset::deep_runtime()? } else { outset::runtime()? };
        let house = outset::house(&mut plans, &runtime).inspect_err(|_| {
            // Who starts a server sets its whole environment at once.
            let wrong = Operation::wrong(&plans.config);
            wrong.iter().for_each(|it| screen::tell(&format!("error: vestibule.yaml: {it}\n")));
        })?;
        if house.flows.is_empty() {
            return Err(Stop::wrong_use(format!("{} has no mappings (*.map.yaml)", self.dir.display())));
        }
        log::start(plans.config.log, "info");
        let operation = Operation::of(&plans.config, &house)?;
        let store = OpenStore::of(&plans, &runtime)?;
        let end = runtime.block_on(self.serve(&plans, (house, operation), store.as_ref(), started));
        // Tasks that did not drain hold handles of the store: they end with the runtime.
        match end {
            Ok(End::Done) => match store {
                Some(store) => store.close(runtime),
                None => drop(runtime),
            },
            _ => runtime.shutdown_background(),
        }
        end
    }

    async fn serve(
        &self,
        plans: &Plans,
        (mut house, operation): (House, Operation),
        store: Option<&OpenStore>,
        started: Instant,
    ) -> Result<End, Stop> {
        let mut signals =
            Signals::listen().map_err(|error| Stop::not_reachable(format!("signals: {error}")))?;
        let config = &plans.config;
        let address = self.listen.unwrap_or(config.listen);
        let patience = Patience { header: config.limits.header, drain: config.limits.drain };
        let listener = Listener::bind(address, config.limits.connections, patience)
            .await
            .map_err(|error| Stop::not_reachable(format!("can not listen on {address}: {error}")))?;
        let (flows, services) = (house.flows.len(), house.services.len());
        let store = store.map(|it| Arc::clone(&it.store));
        let Operation { settings, returners, operators } = operation;
        house.read_lookups().await;
        let runner = Runner::start(house.parts(store.clone(), returners, settings));
        let front = Front::new(house, Arc::clone(&runner), store, config, operators);
        screen::tell(&format!(
            "listening on http://{} ({flows} flow{}, {services} service{}) in {} ms",
            listener.address(),
            if flows == 1 { "" } else { "s" },
            if services == 1 { "" } else { "s" },
            started.elapsed().as_millis(),
        ));
        let (told, when_told) = tokio::sync::oneshot::channel();
        let serving = async {
            let stop = async {
                drop(when_told.await);
                // Calls wait for their results; what a queue holds can wait for the next start.
                runner.stop_intake();
            };
            let (answered, ended) = listener.serve(Arc::new(front), stop).await;
            let left = patience.drain.saturating_sub(ended.elapsed());
            runner.drain(left).await && answered
        };
        let drained = {
            let mut serving = std::pin::pin!(serving);
            // `next` is cancel-safe, and `serving` is only polled on, never dropped before it ends or we give up.
            tokio::select! {
                drained = serving.as_mut() => drained,
                () = signals.next() => {
                    tracing::info!("ending: no more connections are taken");
                    let _ = told.send(());
                    tokio::select! {
                        drained = serving => drained,
                        () = signals.next() => return Err(Stop::report("ended at once", End::Interrupted)),
                    }
                }
            }
        };
        if drained {
            tracing::info!("ended: everything under way was answered");
            Ok(End::Done)
        } else {
            let seconds = patience.drain.as_secs();
            Err(Stop::failed(format!(
                "work was still under way after {seconds} s; it is finished after the next start"
            )))
        }
    }
}
