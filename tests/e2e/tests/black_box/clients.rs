//! Real SOAP clients that know nothing but `?wsdl`.

use std::{path::PathBuf, process::Command};

use serde_json::Value;
use vestibule_testkit::process::Server;

use crate::desk::{Desk, SOAP, root};

/// Where `tests/run` put the clients. Without it these tests can not run, and say so.
pub fn tools() -> PathBuf {
    let given = std::env::var_os("VESTIBULE_TEST_TOOLS").map(PathBuf::from);
    let tools = given.unwrap_or_else(|| root().join("target/test-tools"));
    assert!(tools.join("venv").exists(), "the clients are not installed: run tests/run");
    tools
}

fn client(name: &str) -> Command {
    let (tools, scripts) = (tools(), root().join("tests/e2e/clients"));
    match name {
        "zeep" => {
            let mut command = Command::new(tools.join("venv/bin/python"));
            command.arg(scripts.join("zeep_client.py"));
            command
        }
        "php" => {
            let mut command = Command::new("php");
            command.arg(scripts.join("soapclient.php"));
            command
        }
        _ => {
            let mut command = Command::new(tools.join("bin/node"));
            command.env("NODE_PATH", tools.join("node/node_modules")).arg(scripts.join("node_soap.js"));
            command
        }
    }
}

fn run(server: &Server, name: &str, case: &str, version: &str) -> (Option<i32>, Value) {
    let url = format!("http://{}{SOAP}?wsdl", server.address());
    let output = client(name).args([&url, case, version]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = serde_json::from_str(&said).unwrap_or_else(|_| {
        panic!("{name} {case} {version}: {said}\n{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), value)
}

fn each_client_and_version(check: impl Fn(&str, &str)) {
    for name in ["zeep", "php", "node"] {
        for version in ["11", "12"] {
            check(name, version);
        }
    }
}

#[test]
fn every_client_gets_the_typed_result() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    each_client_and_version(|name, version| {
        let (code, said) = run(&server, name, "good", version);
        assert_eq!(code, Some(0), "{name} {version}: {said}");
        let result = &said["result"];
        let found = ["ClaimNo", "PriorityCd", "FraudFlg", "StatusCd"]
            .map(|it| result[it].as_str().unwrap_or_default());
        assert_eq!(found, ["C00012345", "2", "N", "OK"], "{name} {version}: {said}");
    });
}

#[test]
fn every_client_gets_the_typed_fault_with_every_missing_field() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    each_client_and_version(|name, version| {
        let (code, said) = run(&server, name, "incomplete", version);
        assert_eq!(code, Some(3), "{name} {version}: {said}");
        assert_eq!(said["fault"]["code"], "V005", "{name} {version}: {said}");
        let findings = said["fault"]["finding"].as_array().expect("a list of findings");
        for missing in ["ClaimNo", "@policy", "LossDt", "CauseCd"] {
            let xpath = format!("/Envelope/Body/SubmitClaim/Claim/{missing}");
            let found = findings.iter().any(|it| it["code"] == "G101" && it["xpath"] == xpath.as_str());
            assert!(found, "{name} {version}: nothing about {xpath}: {said}");
        }
    });
}

#[test]
fn clients_load_a_generated_contract() {
    let desk = Desk::of("returns");
    let server = desk.serve();
    let url = format!("http://{}/soap/ReturnService?wsdl", server.address());
    let python = "import sys, zeep\nc = zeep.Client(sys.argv[1])\nprint(sorted(c.service._operations))";
    let output = Command::new(tools().join("venv/bin/python")).args(["-c", python, &url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Return"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let php = "$c = new SoapClient($argv[1], ['cache_wsdl' => WSDL_CACHE_NONE]); echo implode(',', $c->__getFunctions());";
    let output = Command::new("php").args(["-r", php, &url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Return"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
