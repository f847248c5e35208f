//! What types are, by the catalogue: a domain is its base, an array has an element.

use std::{collections::HashMap, sync::Arc};

use tokio_postgres::Client;

use super::Kind;
use crate::error::Trouble;

/// Domains over domains and arrays over both are followed so far.
const DEPTH: usize = 16;

/// One step each: what a domain is made over, what an array holds. An array type is one that its element calls its array:
/// so `int2vector`, which is spelt otherwise, is none.
const STEPS: &str = "SELECT t.oid, \
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE 0::oid END, \
    coalesce((SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid), 0::oid), \
    (SELECT e.typdelim FROM pg_catalog.pg_type e WHERE e.oid = t.typelem) \
    FROM pg_catalog.pg_type t WHERE t.oid = ANY($1)";

struct Step {
    base: u32,
    element: u32,
    delimiter: u8,
}

/// What values of these types are. A type that is not there any more is [`Kind::Plain`].
pub(crate) async fn kinds_of_oids(client: &Client, oids: &[u32]) -> Result<HashMap<u32, Kind>, Trouble> {
    let mut steps: HashMap<u32, Step> = HashMap::new();
    let mut unknown: Vec<u32> = oids.to_vec();
    for _ in 0..DEPTH {
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            break;
        }
        let rows = client.query(STEPS, &[&unknown]).await?;
        let mut next = Vec::new();
        for row in rows {
            let delimiter: Option<i8> = row.try_get(3)?;
            let delimiter = delimiter.and_then(|it| u8::try_from(it).ok()).unwrap_or(b',');
            let step = Step { base: row.try_get(1)?, element: row.try_get(2)?, delimiter };
            next.extend([step.base, step.element].into_iter().filter(|it| *it != 0));
            steps.insert(row.try_get(0)?, step);
        }
        next.retain(|it| !steps.contains_key(it));
        unknown = next;
    }
    Ok(oids.iter().map(|it| (*it, kind(&steps, *it, DEPTH))).collect())
}

fn kind(steps: &HashMap<u32, Step>, oid: u32, depth: usize) -> Kind {
    let Some(depth) = depth.checked_sub(1) else { return Kind::Plain };
    match steps.get(&oid) {
        Some(step) if step.base != 0 => kind(steps, step.base, depth),
        Some(step) if step.element != 0 => {
            Kind::Array(Arc::new(kind(steps, step.element, depth)), step.delimiter)
        }
        _ => Kind::of_base(oid),
    }
}

/// The same for types by their names, as `format_type` spells them; in the same order.
pub(crate) async fn kinds_of_names(client: &Client, names: &[String]) -> Result<Vec<Kind>, Trouble> {
    let statement = "SELECT coalesce(pg_catalog.to_regtype(it)::oid, 0::oid) \
        FROM unnest($1::text[]) WITH ORDINALITY AS them(it, at) ORDER BY at";
    let rows = client.query(statement, &[&names]).await?;
    let oids = rows.iter().map(|it| it.try_get::<_, u32>(0)).collect::<Result<Vec<_>, _>>()?;
    let kinds = kinds_of_oids(client, &oids).await?;
    Ok(oids.iter().map(|it| kinds.get(it).cloned().unwrap_or_default()).collect())
}
