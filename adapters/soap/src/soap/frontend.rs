//! The word `soap` of `receive`.

use std::sync::Arc;

use vestibule_core::{
    mapping::{diagnostic::Diagnostics, plan::Tickets},
    ports::{Direction, Files, Frontend, Offered, Service},
    tree::extract::Reads,
};

use super::{
    jobs::GET_RESULT,
    service::{Route, SoapService},
};
use crate::{
    contract::model::QName,
    render::{contract_of, own_namespace},
    xml::{Limits, names::is_ncname},
};

/// SOAP over HTTP, both versions, document/literal.
#[derive(Debug, Default, Clone)]
pub struct SoapFrontend {
    limits: Limits,
}

impl SoapFrontend {
    /// With limits of one's own.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Frontend for SoapFrontend {
    fn kind(&self) -> &'static str {
        "soap"
    }

    fn service(
        &self,
        name: &str,
        flows: Vec<Offered>,
        _files: &dyn Files,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<dyn Service>> {
        let mut routes: Vec<Route> = Vec::with_capacity(flows.len());
        let mut is_good = true;
        for offered in flows {
            let span = offered.channel.span.clone();
            if gives_untyped_tickets(&offered) {
                is_good = false;
                let title = "its callers get a ticket that the contract does not know";
                let diagnostic = diagnostics.push("M072", &span, title, "received here, with `async: yes`");
                let help =
                    "write `pending:`, the reply of the contract that a caller gets for the time being";
                diagnostic.help.push(help.into());
            }
            let problem = match route(offered) {
                Ok(route) if routes.iter().any(|it| is_same_message(it, &route)) => {
                    Err(format!("another mapping already receives `{}` of this service", route.root.local))
                }
                Ok(route) => {
                    routes.push(route);
                    Ok(())
                }
                Err(title) => Err(title),
            };
            if let Err(title) = problem {
                is_good = false;
                diagnostics.push("M071", &span, title, "received here");
            }
        }
        let gives_results = gives_results(&routes);
        let service = SoapService { name: name.into(), routes, limits: self.limits.clone(), gives_results };
        is_good.then(|| Arc::new(service) as Arc<dyn Service>)
    }
}

/// True where `GetResult` is offered: some flow gives tickets, and no operation has that name, served or not.
fn gives_results(routes: &[Route]) -> bool {
    let is_taken = |it: &Route| {
        let contract = contract_of(&it.mapping).map(|(contract, _)| contract);
        *it.operation == *GET_RESULT
            || *it.root.local == *GET_RESULT
            || contract.is_some_and(|it| it.operation(Some(GET_RESULT)).is_some())
    };
    routes.iter().any(Route::gives_tickets) && !routes.iter().any(is_taken)
}

/// True where a request may be of both. Where no contract says a namespace, the name alone decides.
fn is_same_message(one: &Route, other: &Route) -> bool {
    let is_exact = one.strict_namespace && other.strict_namespace;
    one.root.local == other.root.local && (!is_exact || one.root.namespace == other.root.namespace)
}

/// True where every caller gets our own ticket, in a service whose contract promises another reply: clients that are made
/// from a contract refuse what it does not name.
fn gives_untyped_tickets(offered: &Offered) -> bool {
    let handling = &offered.mapping.handling;
    let contract = contract_of(&offered.mapping).map(|(contract, _)| contract);
    let operation = contract.and_then(|it| it.operation(offered.channel.get("operation")));
    let is_promised = operation.is_some_and(|it| it.reply.is_some());
    handling.tickets == Tickets::Always && handling.pending.is_none() && is_promised
}

fn route(offered: Offered) -> Result<Route, String> {
    let Offered { mapping, channel, flow } = offered;
    let reads = Reads::of(&mapping);
    let named = channel.get("operation");
    let Some((contract, _)) = contract_of(&mapping).filter(|(contract, _)| contract.is_service()) else {
        let operation: Arc<str> = named.unwrap_or(&mapping.name).into();
        if !is_ncname(&operation) {
            return Err(format!("`{operation}` can not be an element's name: a message can not carry it"));
        }
        let root = QName { namespace: own_namespace(&mapping).into(), local: Arc::clone(&operation) };
        let service = channel.get("service").unwrap_or(&mapping.name);
        let actions = vec![format!("urn:vestibule:{service}/{operation}"), operation.to_string()];
        return Ok(Route { flow, mapping, reads, operation, root, strict_namespace: false, actions });
    };
    let operation = contract.operation(named).ok_or_else(|| match named {
        Some(named) => format!("the contract has no operation `{named}`"),
        None => "the contract has more than one operation: say which".to_owned(),
    })?;
    let root = contract.message(Some(&operation.name), Direction::Request).map(|it| it.name.clone());
    let root = root.or_else(|| operation.request.clone()).ok_or_else(|| {
        format!("operation `{}` has an empty request: there is nothing to read", operation.name)
    })?;
    let (name, actions) = (operation.name.as_str().into(), operation.actions.clone());
    Ok(Route { flow, mapping, reads, operation: name, root, strict_namespace: true, actions })
}
