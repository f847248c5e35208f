//! A format with a contract, files and routes for the tests.

use std::{io, sync::Arc};

use serde_json::Value;

use super::super::{Compiled, Surroundings, compile};
use crate::{
    fault::{Fault, FaultCode},
    mapping::{
        address::{Axis, Path},
        diagnostic::Diagnostics,
        plan::{Channel, Mapping, Return},
        syntax::{self, Kind, Node},
    },
    ports::{
        Connection, ConnectionKind, ConnectionRequest, Contract, Direction, Extractor, Files, Format, Hook,
        HookKind, NotInContract, Renderer,
    },
    registry::Registry,
};

/// Checks a mapping of the claim desk.
pub fn check(text: &str) -> Compiled {
    claims(text, Some(&["triage".to_owned(), "risk".to_owned()]))
}

pub fn claims(text: &str, routes: Option<&[String]>) -> Compiled {
    let registry = Registry {
        formats: vec![
            Arc::new(Fake("xml")),
            Arc::new(Fake("json")),
            Arc::new(crate::change::ChangeFormat::default()),
        ],
        connections: ["amqp", "postgres", "sqlserver"].map(|it| Arc::new(Broker(it)) as _).to_vec(),
        hooks: vec![Arc::new(Posts)],
        ..Registry::default()
    };
    compile("claim.map.yaml", text, &Surroundings { files: &Beside, registry: &registry, routes })
}

/// Checks a mapping in a binary that has formats alone.
pub fn compile_bare(text: &str) -> Compiled {
    let registry =
        Registry { formats: vec![Arc::new(Fake("xml")), Arc::new(Fake("json"))], ..Registry::default() };
    compile("claim.map.yaml", text, &Surroundings { files: &Beside, registry: &registry, routes: None })
}

/// Code and title of every problem, in the file's order.
pub fn problems(compiled: &Compiled) -> Vec<String> {
    compiled.diagnostics.sorted().iter().map(|it| format!("{} {}", it.code, it.title)).collect()
}

pub fn render(text: &str, compiled: &Compiled) -> String {
    compiled.diagnostics.render("claim.map.yaml", text, false)
}

struct Beside;

impl Files for Beside {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let text = match path {
            "ClaimService.wsdl" => "",
            "prompts/triage.md" => "Cause: {{ cause }}\n{% for line in lines %}{{ line.amount }}{% endfor %}",
            "prompts/broken.md" => "{% if %}",
            "prompts/unsent.md" => "a\n{{ claimant }}",
            "codes/state.csv" => "legacy,clean\nO,open\nC,closed\n",
            "codes/twice.csv" => "legacy,clean\nO,open\nO,closed\n",
            "triage.rules.yaml" => "rules: []",
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(text.into())
    }
}

struct Broker(&'static str);

impl ConnectionKind for Broker {
    fn kind(&self) -> &'static str {
        self.0
    }
    fn open(&self, _: ConnectionRequest<'_>, _: &mut Diagnostics) -> Option<Arc<dyn Connection>> {
        None
    }
}

struct Posts;

impl HookKind for Posts {
    fn kind(&self) -> &'static str {
        "webhook"
    }
    fn open(
        &self,
        _: &Arc<Mapping>,
        _: &Channel,
        _: &dyn Fn(&str) -> Option<String>,
        _: &mut Diagnostics,
    ) -> Option<Arc<dyn Hook>> {
        None
    }
}

struct Fake(&'static str);

impl Format for Fake {
    fn kind(&self) -> &'static str {
        self.0
    }
    fn reads(&self, _: &str) -> bool {
        false
    }
    fn knows_charset(&self, name: &str) -> bool {
        name != "klingon"
    }
    fn media_type(&self) -> &'static str {
        "text/xml"
    }
    fn contract(&self, path: &str, files: &dyn Files) -> Result<Option<Arc<dyn Contract>>, Fault> {
        match files.read(path) {
            Ok(_) => Ok(Some(Arc::new(ClaimService))),
            Err(_) => Err(Fault::new(FaultCode::NotFound, "no such file")),
        }
    }
    fn extractor(&self, _: &Mapping) -> Result<Arc<dyn Extractor>, Fault> {
        Err(Fault::new(FaultCode::Internal, "not here"))
    }
    fn renderer(&self, _: &Mapping, _: &Return) -> Result<Arc<dyn Renderer>, Fault> {
        Err(Fault::new(FaultCode::Internal, "not here"))
    }
}

/// Every path of the two messages, as a contract knows them.
struct ClaimService;

const REQUEST: &[&str] = &[
    "Claim/ClaimNo",
    "Claim/@policy",
    "Claim/LossDt",
    "Claim/Audit/Ts",
    "Claim/CauseCd",
    "Claim/Reserve/@cur",
    "Claim/Party/@role",
    "Claim/Party/Name",
    "Claim/Narrative",
    "Claim/Notes/Note",
    "Claim/Lines/Line/Type",
    "Claim/Lines/Line/Amt",
];
const REPLY: &[&str] =
    &["Result/ClaimNo", "Result/PriorityCd", "Result/FraudFlg", "Result/ReasonTxt", "Result/StatusCd"];

impl Contract for ClaimService {
    fn operations(&self) -> Vec<String> {
        ["SubmitClaim", "AmendClaim", "DropClaim"].map(str::to_owned).to_vec()
    }

    fn check(
        &self,
        operation: Option<&str>,
        direction: Direction,
        base: &[&Path],
        path: &Path,
    ) -> Result<(), NotInContract> {
        let more: &[&str] = match (operation, direction) {
            (Some("AmendClaim"), Direction::Request) => &["Claim/Amends"],
            (Some("AmendClaim"), Direction::Reply) => &["Result/Amended"],
            _ => &[],
        };
        let all = [if direction == Direction::Request { REQUEST } else { REPLY }, more].concat();
        let before: Vec<String> = base.iter().flat_map(|it| names(it)).collect();
        let mut so_far = before;
        for (step, name) in names(path).into_iter().enumerate() {
            let prefix = so_far.iter().map(|it| format!("{it}/")).collect::<String>();
            let known: Vec<String> = all
                .iter()
                .filter_map(|it| it.strip_prefix(prefix.as_str())?.split('/').next())
                .map(str::to_owned)
                .collect();
            if !known.contains(&name) {
                return Err(NotInContract { step, known });
            }
            so_far.push(name);
        }
        Ok(())
    }

    fn reply_root(&self, operation: Option<&str>) -> Option<String> {
        let is_other = operation == Some("DropClaim");
        Some(if is_other { "DropClaimResponse" } else { "SubmitClaimResponse" }.into())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn names(path: &Path) -> Vec<String> {
    path.steps
        .iter()
        .map(|it| if it.axis == Axis::Attribute { format!("@{}", it.name) } else { it.name.to_string() })
        .collect()
}

/// The file as a YAML 1.2 (or, for yes and no, 1.1) editor types it.
pub fn as_an_editor_reads_it(text: &str, yes_is_true: bool) -> Value {
    let root = syntax::parse(text, &mut Diagnostics::default()).unwrap();
    typed(&root, yes_is_true)
}

fn typed(node: &Node, yes_is_true: bool) -> Value {
    match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.text().unwrap().to_owned(), typed(value, yes_is_true)))
            .collect(),
        Kind::Seq(items) => items.iter().map(|it| typed(it, yes_is_true)).collect(),
        Kind::Scalar { text, plain: true } => match text.as_str() {
            "" | "~" | "null" => Value::Null,
            "true" => true.into(),
            "false" => false.into(),
            "yes" if yes_is_true => true.into(),
            "no" if yes_is_true => false.into(),
            text => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => text.into(),
            },
        },
        Kind::Scalar { text, .. } => text.as_str().into(),
    }
}
