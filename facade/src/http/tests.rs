//! The front over real sockets, with a service that does as little as possible.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, timeout},
};
use vestibule_core::{
    fault::Fault,
    job::{Job, JobId, Reply, ReplyBody},
    ports::{CallContext, Service, Understood, WireReply, WireRequest},
    registry::Registry,
    runner::{Parts, Runner},
};

use super::{Patience, listener::Listener};
use crate::{
    config::{Config, Limits},
    house::{Front, House},
    operators::Operators,
    wiring::{Plans, directory::Directory},
};

/// Answers every call with what it got; panics and waits on demand.
struct Echo;

fn wire(status: u16, body: impl Into<Bytes>) -> WireReply {
    WireReply { status, content_type: "text/plain".into(), body: body.into() }
}

impl Service for Echo {
    fn accept(&self, request: &WireRequest) -> Result<Understood, WireReply> {
        match &request.body[..] {
            b"panic" => panic!("on demand"),
            b"slow" => std::thread::sleep(Duration::from_millis(300)),
            _ => {}
        }
        Err(wire(200, request.body.clone()))
    }

    fn reply(&self, _: &CallContext, _: &Reply, _: JobId) -> WireReply {
        wire(200, "reply")
    }

    fn ticket(&self, _: &CallContext, ticket: JobId, _: Option<&ReplyBody>) -> WireReply {
        wire(202, format!("ticket {ticket}"))
    }

    fn result(&self, _: &CallContext, job: Option<&Job>) -> WireReply {
        wire(200, job.map_or("no job", |it| it.state.word()))
    }

    fn fault(&self, _: &CallContext, fault: &Fault) -> WireReply {
        wire(500, format!("fault {}: {}", fault.code.code(), fault.message))
    }

    fn describe(&self, address: &str) -> WireReply {
        wire(200, format!("contract at {address}"))
    }
}

struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<bool>,
}

async fn serve(limits: Limits) -> Server {
    let services = HashMap::from([("Echo".into(), Arc::new(Echo) as Arc<dyn Service>)]);
    serve_house(House { services, ..House::empty(Arc::new(Registry::default())) }, limits).await
}

async fn serve_house(house: House, limits: Limits) -> Server {
    let runner = Runner::start(Parts::called(house.flows.clone(), None));
    let patience = Patience { header: limits.header, drain: limits.drain };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(any, limits.connections, patience).await.unwrap();
    let address = listener.address();
    let config = Config { limits, ..Config::default() };
    let front = Arc::new(Front::new(house, Arc::clone(&runner), None, &config, Operators::default()));
    let (stop, told) = oneshot::channel::<()>();
    let (report, ended) = oneshot::channel();
    runner.serve_connection(async move {
        let (drained, _) = listener.serve(front, async { drop(told.await) }).await;
        let _ = report.send(drained);
    });
    Server { address, stop: Some(stop), ended }
}

impl Server {
    async fn open(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request on a connection of its own and reads until the server closes it.
    async fn say(&self, request: &str) -> String {
        let mut stream = self.open().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut all)).await;
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one response of a connection that stays open.
async fn one(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = timeout(Duration::from_secs(10), stream.read(&mut piece)).await.unwrap().unwrap();
        all.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&all);
        let length = text.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        if let (Some(head), Some(length)) = (text.find("\r\n\r\n"), length)
            && text.len() >= head + 4 + length
        {
            return text.into_owned();
        }
        assert!(read > 0, "closed after: {text}");
    }
}

fn small() -> Limits {
    Limits {
        body: 16,
        in_flight: 1024,
        read: Duration::from_millis(300),
        header: Duration::from_millis(500),
        connections: 4,
        calls: 4,
        queued: 1_000_000,
        drain: Duration::from_secs(5),
    }
}

/// gSOAP 2.7 and others send their FIN with the request and wait for the reply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_only_closes_its_sending_side_is_answered() {
    let server = serve(small()).await;
    for body in ["abc", "slow"] {
        let mut stream = server.open().await;
        let head = format!("POST /soap/Echo HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let reply = rest(&mut stream).await;
        assert!(reply.contains("200 OK") && reply.ends_with(body), "{body}: {reply}");
    }
}

const CLOSE: &str = "Host: desk.example:81\r\nConnection: close\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_has_its_status_and_its_kind_of_body() {
    let server = serve(small()).await;
    for (request, status, part) in [
        ("GET /livez", "200 OK", "\r\n\r\n{\"live\":true}"),
        ("HEAD /livez", "200 OK", "content-length: 13\r\n"),
        ("GET /readyz", "200 OK", "{\"ready\":true,\"draining\":false,\"store\":\"none\"}"),
        ("DELETE /livez", "405 Method Not Allowed", "allow: GET, HEAD\r\n"),
        ("GET /", "404 Not Found", "application/problem+json"),
        ("GET /v1/jobs/x", "404 Not Found", "\"code\":\"V007\""),
        ("POST /v1/jobs/x", "405 Method Not Allowed", "application/problem+json"),
        ("POST /v1/flows/none", "404 Not Found", "urn:vestibule:fault:V007"),
        ("GET /soap/Echo?WSDL", "200 OK", "contract at http://desk.example:81/soap/Echo"),
        ("HEAD /soap/Echo?wsdl", "200 OK", "content-length: 44\r\n"),
        ("GET /soap/Ech%6F?wsdl=1", "200 OK", "contract at"),
        ("GET /soap/Echo", "405 Method Not Allowed", "allow: POST\r\n"),
        ("PUT /soap/Echo", "405 Method Not Allowed", "application/problem+json"),
        ("POST /soap/None", "500 Internal Server Error", "fault V007"),
        ("POST /soap/a/b", "500 Internal Server Error", "fault V007"),
        ("POST /soap", "500 Internal Server Error", "fault V007"),
        ("POST /soapy", "404 Not Found", "application/problem+json"),
        ("GET /soap/None?wsdl", "404 Not Found", "application/problem+json"),
    ] {
        let answer = server.say(&format!("{request} HTTP/1.1\r\n{CLOSE}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "input: {request}, answer: {answer}");
        assert!(answer.contains(part), "input: {request}, answer: {answer}");
        assert!(answer.contains("connection: close\r\n"), "input: {request}, answer: {answer}");
        assert_eq!(request.starts_with("HEAD"), answer.ends_with("\r\n\r\n"), "input: {request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_speaks_xml_below_soap_gets_a_fault_where_there_is_a_service_that_writes_one() {
    let served = serve(small()).await;
    let empty = House::empty(Arc::new(Registry::default()));
    let bare = serve_house(empty, small()).await;
    for (request, header, fault) in [
        ("POST /soap/None", "", Some("V007")),
        ("PUT /soap/Echo", "Content-Type: text/xml\r\n", Some("V003")),
        ("GET /soap/None", "Content-Type: application/soap+xml\r\n", Some("V007")),
        ("DELETE /soap/Echo", "SOAPAction: \"\"\r\n", Some("V003")),
        ("GET /soap/None", "Accept: text/xml\r\n", None),
    ] {
        let request = format!("{request} HTTP/1.1\r\n{CLOSE}{header}\r\n");
        let answer = served.say(&request).await;
        let expected = fault.map_or("application/problem+json".into(), |code| format!("fault {code}"));
        assert!(answer.contains(&expected), "input: {request}, answer: {answer}");
        let answer = bare.say(&request).await;
        assert!(answer.contains("application/problem+json"), "input: {request}, answer: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_its_limits_gets_a_fault_of_the_service() {
    let server = serve(small()).await;
    for (head, body, expected) in [
        ("Content-Length: 16", "0123456789abcdef", "\r\n\r\n0123456789abcdef"),
        ("Content-Length: 17", "0123456789abcdefg", "fault V002: the body is longer than 16 bytes"),
        ("Content-Length: 99999999999", "0", "fault V002: the body is longer than 16 bytes"),
        ("Content-Length: 10", "012", "fault V002: the body did not arrive within 300 ms"),
        ("Transfer-Encoding: chunked", "5\r\n01234\r\n0\r\n\r\n", "\r\n\r\n01234"),
        (
            "Transfer-Encoding: chunked",
            "9\r\n012345678\r\n9\r\n012345678\r\n0\r\n\r\n",
            "fault V002: the body is longer than 16 bytes",
        ),
        ("Transfer-Encoding: chunked", "zz\r\n", "fault V001"),
    ] {
        let answer = server.say(&format!("POST /soap/Echo HTTP/1.1\r\n{CLOSE}{head}\r\n\r\n{body}")).await;
        assert!(answer.contains(expected), "input: {head} {body:?}, answer: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_an_answer_and_the_server_goes_on() {
    let server = serve(small()).await;
    let mut stream = server.open().await;
    let post = |body: &str| {
        format!("POST /soap/Echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    stream.write_all(post("panic").as_bytes()).await.unwrap();
    let answer = one(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("V013"), "answer: {answer}");
    stream.write_all(post("still there").as_bytes()).await.unwrap();
    assert!(one(&mut stream).await.ends_with("still there"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_sends_no_whole_head_is_let_go() {
    let server = serve(small()).await;
    let began = Instant::now();
    for half in ["", "POST /soap/Ec", "GET /livez HTTP/1.1\r\nX: y\r\n"] {
        let _ = server.say(half).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_takes_no_answer_gives_its_place_back() {
    let body = 16 << 20;
    let server = serve(Limits { connections: 1, body, in_flight: body, ..small() }).await;
    let mut deaf = server.open().await;
    let head = format!("POST /soap/Echo HTTP/1.1\r\nHost: x\r\nContent-Length: {body}\r\n\r\n");
    deaf.write_all(head.as_bytes()).await.unwrap();
    deaf.write_all(&vec![b'x'; body]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let other = server.say(&format!("GET /livez HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert!(other.starts_with("HTTP/1.1 200 "), "answer: {other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_are_told_so_and_the_others_go_on() {
    let limits = Limits { connections: 1, header: Duration::from_secs(10), ..small() };
    let server = serve(limits).await;
    let mut first = server.open().await;
    first.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(one(&mut first).await.starts_with("HTTP/1.1 200 "));
    let second = server.say("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(second.starts_with("HTTP/1.1 503 ") && second.contains("retry-after: 1"), "answer: {second}");
    first.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(one(&mut first).await.starts_with("HTTP/1.1 200 "));
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let third = server.say(&format!("GET /livez HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert!(third.starts_with("HTTP/1.1 200 "), "answer: {third}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_answered_and_idle_connections_are_closed_at_the_end() {
    let limits = Limits { header: Duration::from_secs(60), ..small() };
    let mut server = serve(limits).await;
    let mut idle = server.open().await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(one(&mut idle).await.starts_with("HTTP/1.1 200 "));
    let mut busy = server.open().await;
    busy.write_all(b"POST /soap/Echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nslow").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.take().unwrap().send(()).unwrap();
    let (idle, busy) = tokio::join!(rest(&mut idle), rest(&mut busy));
    assert_eq!(idle, "");
    assert!(busy.starts_with("HTTP/1.1 200 ") && busy.ends_with("slow"), "answer: {busy}");
    assert!(timeout(Duration::from_secs(5), &mut server.ended).await.unwrap().unwrap());
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_waits_to_be_told_is_told_at_once_and_one_that_does_not_still_gets_its_answer() {
    let limits = Limits { body: 1 << 20, ..small() };
    let server = serve(limits).await;
    let waits = "POST /soap/Echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n";
    let small = server.say(&format!("{waits}Content-Length: 2\r\n\r\nok")).await;
    assert!(small.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "), "answer: {small}");
    let began = Instant::now();
    let large = server.say(&format!("{waits}Content-Length: 9999999\r\n\r\n")).await;
    assert!(large.starts_with("HTTP/1.1 500 ") && large.contains("V002"), "answer: {large}");
    assert!(began.elapsed() < Duration::from_secs(1));
    let unwanted = "x".repeat(900_000);
    let head = format!("POST /nowhere HTTP/1.1\r\n{CLOSE}Content-Length: {}\r\n\r\n", unwanted.len());
    let answer = server.say(&format!("{head}{unwanted}")).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "answer: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_with_a_body_left_unread_says_so() {
    let server = serve(Limits { body: 64, ..small() }).await;
    for (request, expected) in [
        // Nobody told the caller to send it: what comes next could be the body, or not.
        ("POST /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", true),
        ("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\nabcd", true),
        ("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd", false),
        ("POST /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", false),
        ("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", false),
    ] {
        let mut stream = server.open().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = one(&mut stream).await;
        assert_eq!(answer.contains("connection: close\r\n"), expected, "input: {request}, answer: {answer}");
        if expected {
            assert_eq!(rest(&mut stream).await, "", "input: {request}");
        } else {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert!(one(&mut stream).await.starts_with("HTTP/1.1 200 "), "input: {request}");
        }
    }
}

const MAPPING: &str = "\
mapping: desk
durability: none
receive:
  soap: { service: Desk, operation: Submit }
source: { kind: xml }
record:
  claim_no: { from: Claim/ClaimNo, required: true }
ask:
  route: triage
  prompt: p.md
  deadline: 60s
  answer:
    urgent: { type: bool, required: true }
return:
  into: Submitted
  write:
    No: claim_no
";

/// A flow whose model takes connections and says nothing.
fn house_with_a_silent_model(model: SocketAddr) -> House {
    let root = tempfile::tempdir().unwrap();
    let config = format!(
        "store: none\nmodels: {{ far: {{ openai: {{ url: 'http://{model}/v1', model: m }} }} }}\nroutes: {{ triage: [far] }}\n"
    );
    for (name, text) in [("vestibule.yaml", &*config), ("desk.map.yaml", MAPPING), ("p.md", "Is it urgent?")]
    {
        std::fs::write(root.path().join(name), text).unwrap();
    }
    let registry = Arc::new(crate::adapters::registry(0));
    let mut plans = Plans::read(Directory::at(root.path()).unwrap(), &registry);
    let house = plans.assemble(&registry, &|_| None);
    assert_eq!(plans.report.render(false), "");
    house
}

const BY_SOAP: &str = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><Submit><Claim><ClaimNo>7</ClaimNo></Claim></Submit></e:Body></e:Envelope>";
const BY_JSON: &str = "{\"Claim\":{\"ClaimNo\":\"7\"}}";

fn post(path: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_beyond_the_room_for_bodies_are_told_to_come_again_in_their_own_format() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let house = house_with_a_silent_model(silent.local_addr().unwrap());
    let server = serve_house(house, Limits { body: BY_SOAP.len(), in_flight: 1, ..small() }).await;
    let first = post("/soap/Desk", "text/xml", BY_SOAP);
    let mut held = server.open().await;
    held.write_all(first.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (soap, json) = (first.clone(), post("/v1/flows/desk", "application/json", BY_JSON));
    let (by_soap, by_json) = tokio::join!(server.say(&soap), server.say(&json));
    assert!(by_soap.contains("Fault>") && by_soap.contains("text/xml"), "answer: {by_soap}");
    assert!(by_json.starts_with("HTTP/1.1 503 "), "answer: {by_json}");
    for answer in [by_soap, by_json] {
        assert!(answer.contains("V011") && answer.contains("retry-after: 2\r\n"), "answer: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_whose_result_does_not_come_before_the_end_are_told_so_in_their_own_format() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let house = house_with_a_silent_model(silent.local_addr().unwrap());
    let limits = Limits { body: 1000, drain: Duration::from_millis(400), ..small() };
    let mut server = serve_house(house, limits).await;
    let mut by_soap = server.open().await;
    by_soap.write_all(post("/soap/Desk", "text/xml", BY_SOAP).as_bytes()).await.unwrap();
    let mut by_json = server.open().await;
    by_json.write_all(post("/v1/flows/desk", "application/json", BY_JSON).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.stop.take().unwrap().send(()).unwrap();
    let (by_soap, by_json) = tokio::join!(rest(&mut by_soap), rest(&mut by_json));
    assert!(by_soap.contains("Fault") && by_soap.contains("V011"), "answer: {by_soap}");
    assert!(by_json.starts_with("HTTP/1.1 503 ") && by_json.contains("V011"), "answer: {by_json}");
    assert!(!server.ended.await.unwrap(), "work was under way, and that is said");
}
