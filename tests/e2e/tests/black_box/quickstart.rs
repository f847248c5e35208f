//! The quickstart does what its README says.

use vestibule_testkit::http;

use crate::desk::{Desk, all_elements, call, element};

#[test]
fn a_good_claim_gets_a_decision() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let reply = call(&server, &desk.request("good.xml"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/xml; charset=utf-8"));
    let text = reply.text();
    let found =
        ["ClaimNo", "PriorityCd", "FraudFlg", "ReasonTxt", "StatusCd"].map(|name| element(&text, name));
    let expected = ["C00012345", "2", "N", "Routine claim", "OK"].map(|it| Some(it.to_owned()));
    assert_eq!(found, expected, "{text}");
    assert_eq!(element(&text, "Ticket").map(|it| it.len()), Some(36), "{text}");
}

#[test]
fn a_suspicious_claim_is_flagged() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let text = call(&server, &desk.request("suspicious.xml")).text();
    assert_eq!(
        (element(&text, "PriorityCd"), element(&text, "FraudFlg")),
        (Some("1".into()), Some("Y".into())),
        "{text}"
    );
}

#[test]
fn an_incomplete_claim_is_a_fault_that_names_every_missing_field() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let reply = call(&server, &desk.request("incomplete.xml"));
    let text = reply.text();
    assert_eq!(reply.status, 500, "SOAP 1.1 faults are 500: {text}");
    let codes = all_elements(&text, "code");
    assert_eq!(codes.first().map(String::as_str), Some("V005"), "{text}");
    let places = all_elements(&text, "xpath");
    for missing in ["/Claim/ClaimNo", "/Claim/@policy", "/Claim/LossDt", "/Claim/CauseCd"] {
        let full = format!("/Envelope/Body/SubmitClaim{missing}");
        assert!(places.contains(&full), "no finding for {full}: {places:?}");
    }
    assert_eq!(codes.iter().filter(|it| *it == "G101").count(), places.len(), "{text}");
}

#[test]
fn a_claim_that_breaks_a_rule_is_answered_in_the_form() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let review = desk.request("good.xml").replace(">250.00<", ">249.00<");
    let reply = call(&server, &review);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(element(&reply.text(), "StatusCd").as_deref(), Some("PD"), "{}", reply.text());
    assert_eq!(element(&reply.text(), "PriorityCd"), None, "no model was asked: {}", reply.text());
    let rejected = desk.request("good.xml").replace(">03112026<", ">03112099<");
    let reply = call(&server, &rejected);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(element(&reply.text(), "StatusCd").as_deref(), Some("RJ"), "{}", reply.text());
}

#[test]
fn soap_12_gets_soap_12() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let twelve = |body: &str| {
        let body = body
            .replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope");
        let headers = [("Content-Type", "application/soap+xml; charset=utf-8")];
        http::post(server.address(), crate::desk::SOAP, &headers, body.as_bytes()).unwrap()
    };
    let good = twelve(&desk.request("good.xml"));
    assert_eq!(good.status, 200, "{}", good.text());
    assert!(good.header("content-type").unwrap().starts_with("application/soap+xml"));
    assert!(good.text().contains("http://www.w3.org/2003/05/soap-envelope"), "{}", good.text());
    let fault = twelve(&desk.request("incomplete.xml"));
    assert_eq!(fault.status, 400, "the Sender's fault: {}", fault.text());
    assert!(element(&fault.text(), "Value").unwrap().ends_with(":Sender"), "{}", fault.text());
    assert!(all_elements(&fault.text(), "xpath").len() >= 4, "{}", fault.text());
}

#[test]
fn the_same_flow_answers_json() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let json = [("Content-Type", "application/json")];
    let reply =
        http::post(server.address(), "/v1/flows/claim-triage", &json, desk.request("good.json").as_bytes())
            .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json().unwrap();
    assert_eq!(body["Result"]["StatusCd"], "OK", "{body}");
    let ticket = reply.header("vestibule-ticket").expect("a ticket").to_owned();
    let job = http::get(server.address(), &format!("/v1/jobs/{ticket}")).unwrap();
    assert_eq!(job.status, 200, "{}", job.text());
    let state = job.json().unwrap()["state"].as_str().unwrap_or_default().to_owned();
    assert!(["answered", "returned"].contains(&state.as_str()), "{}", job.text());

    let reply = http::post(server.address(), "/v1/flows/claim-triage", &json, br#"{"Claim":{}}"#).unwrap();
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json().unwrap();
    assert_eq!(problem["code"], "V005", "{problem}");
    assert!(problem["findings"].as_array().is_some_and(|it| it.len() >= 4), "{problem}");
}

#[test]
fn the_contract_is_served_with_the_address_of_the_caller() {
    let desk = Desk::quickstart();
    let server = desk.serve();
    let reply = http::get(server.address(), "/soap/ClaimService?wsdl").unwrap();
    assert_eq!(reply.status, 200);
    let address = format!("http://{}/soap/ClaimService", server.address());
    assert!(reply.text().contains(&address), "{}", reply.text());
    let own = desk.folder.path().join("mappings/ClaimService.wsdl");
    let original = std::fs::read_to_string(own).unwrap();
    // Every line but those with the address is still there, in its order; what is added offers `GetResult`.
    let served = reply.text();
    let mut served = served.lines();
    for line in original.lines().map(str::trim).filter(|it| !it.is_empty() && !it.contains(":address")) {
        assert!(served.any(|it| it.contains(line)), "lost: {line}");
    }
    assert!(reply.text().contains("urn:vestibule:jobs:1/GetResult"), "{}", reply.text());
}

#[test]
fn a_contract_is_generated_where_there_is_none() {
    let desk = Desk::of("returns");
    let server = desk.serve();
    let wsdl = http::get(server.address(), "/soap/ReturnService?wsdl").unwrap();
    assert_eq!(wsdl.status, 200, "{}", wsdl.text());
    assert!(wsdl.text().contains("definitions"), "{}", wsdl.text());
}
