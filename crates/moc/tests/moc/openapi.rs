//! The contract, from the OpenAPI document: every path with every answer and every error that it
//! names, each checked against the document's schemas.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use api::{PackageName, Role, TenantAdded, TokenAdded};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use moc::http::openapi::{Body, OPERATIONS, Operation, document};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    audience::{Answer, Caller, send},
    bench::Bench,
    case3::{NONCE_TEXT, Owner, attest, enrolled, placed},
    hostile::signed_again,
    live::signed,
    sim::Sim,
};

/// Answers that no request provokes by itself.
const NOT_PROVOKED: [(&str, &str); 3] = [
    ("internal", "the store or a key has to fail"),
    ("overloaded", "more writes have to wait than the writer's queue holds"),
    ("too-slow", "silence.rs has a client that sends slowly"),
];

/// Sends requests, compares every answer with the document, and notes which were seen.
struct Contract {
    document: Value,
    seen: RefCell<BTreeSet<(String, u16, String)>>,
}

impl Contract {
    fn new() -> Self {
        let document = serde_json::from_str(document()).unwrap();
        Self { document, seen: RefCell::default() }
    }

    /// A request by operation; `fill` replaces the path's parameters in order.
    async fn call(
        &self,
        by: &Caller,
        (method, template): (&str, &str),
        fill: &[&str],
        query: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer {
        let mut path = template.to_owned();
        for value in fill {
            let (start, end) = (path.find('{').unwrap(), path.find('}').unwrap());
            path.replace_range(start..=end, value);
        }
        let verb: Method = method.to_uppercase().parse().unwrap();
        let mut request = by.request(verb, &format!("{path}{query}"));
        if let Some((media_type, bytes)) = body {
            request = request.header("content-type", media_type.to_owned()).body(bytes);
        }
        let answer = send(request).await;
        self.check(method, template, &answer);
        answer
    }

    async fn json(&self, by: &Caller, at: (&str, &str), fill: &[&str], body: Value) -> Answer {
        self.call(by, at, fill, "", Some(("application/json", body.to_string().into_bytes()))).await
    }

    async fn get(&self, by: &Caller, template: &str, fill: &[&str]) -> Answer {
        self.call(by, ("get", template), fill, "", None).await
    }

    fn check(&self, method: &str, template: &str, answer: &Answer) {
        let what = format!("{method} {template} {}", answer.status);
        let described = &self.document["paths"][template][method]["responses"];
        let described = &described[answer.status.to_string()];
        assert!(described.is_object(), "{what} is not in the document");
        let media_type = answer.header("content-type").split(';').next().unwrap();
        let mut kind = String::new();
        if media_type == "application/problem+json" {
            let problem: api::Problem = serde_json::from_slice(&answer.body).unwrap();
            kind = problem.name().to_owned();
            let kinds = described["x-problems"].as_array().unwrap();
            assert!(kinds.contains(&json!(kind)), "{what} with {kind} is not in the document");
        }
        match described["content"].as_object() {
            None => assert!(answer.body.is_empty(), "{what} has a body"),
            Some(content) => {
                let found = content.get(media_type);
                let absent = || panic!("{what} with {media_type} is not in the document");
                let schema = &found.unwrap_or_else(absent)["schema"];
                if media_type.ends_with("json") {
                    let value: Value = serde_json::from_slice(&answer.body).unwrap();
                    if let Err(wrong) = self.fits(schema, &value) {
                        panic!("{what} does not fit its schema: {wrong}: {value}");
                    }
                }
            }
        }
        let operation = format!("{method} {template}");
        self.seen.borrow_mut().insert((operation, answer.status, kind));
    }

    /// As much of JSON Schema as the document uses.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{why} ({schema})"));
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(reference.trim_start_matches('#'));
            return self.fits(target.ok_or("a reference leads nowhere")?, value);
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(each) = schema[word].as_array() {
                return match each.iter().any(|one| self.fits(one, value).is_ok()) {
                    true => Ok(()),
                    false => wrong("no alternative fits"),
                };
            }
        }
        if schema.get("const").is_some_and(|constant| constant != value) {
            return wrong("not the constant");
        }
        if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
            return wrong("not in the list");
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let allowed = match &schema["type"] {
            Value::String(one) => one == kind,
            Value::Array(several) => several.contains(&json!(kind)),
            _ => true,
        };
        if !allowed {
            return wrong("another type");
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item)?;
        }
        let Some(members) = value.as_object() else { return Ok(()) };
        for required in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(required.as_str().unwrap()) {
                return wrong(&format!("{required} is absent"));
            }
        }
        for (name, member) in members {
            match schema["properties"].get(name) {
                Some(schema) => self.fits(schema, member)?,
                None => return wrong(&format!("{name} is not documented")),
            }
        }
        Ok(())
    }

    /// What the document names and nobody has seen.
    fn missing(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        let mut missing = Vec::new();
        for operation in OPERATIONS {
            let name = format!("{} {}", operation.method, operation.path);
            for (status, ..) in operation.answers {
                if !seen.contains(&(name.clone(), *status, String::new())) {
                    missing.push(format!("{name} {status}"));
                }
            }
            for kind in operation.kinds() {
                let provoked = seen.contains(&(name.clone(), kind.status, kind.name.to_owned()));
                if !provoked && NOT_PROVOKED.iter().all(|(known, _)| *known != kind.name) {
                    missing.push(format!("{name} {}", kind.name));
                }
            }
        }
        missing
    }
}

#[test]
fn the_document_in_the_tree_is_the_one_that_the_types_make() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");

    let kept = std::fs::read_to_string(path).unwrap();

    assert!(kept == document(), "write it again: tamarack-moc openapi > docs/openapi.json");
}

#[test]
fn every_path_of_the_contract_is_described_but_teeps_and_the_page() {
    let source = include_str!("../../../api/src/path.rs");
    let paths: BTreeSet<&str> = source
        .lines()
        .filter(|line| line.starts_with("pub const "))
        .map(|line| line.split('"').nth(1).unwrap())
        .filter(|path| !path.starts_with("/tam") && !path.starts_with("/api"))
        .filter(|path| *path != api::path::OPENAPI)
        .collect();

    let described: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.path).collect();

    assert_eq!(described, paths);
}

#[tokio::test]
async fn every_answer_and_every_error_of_the_document_is_as_the_document_says() {
    let limits = "package_bytes_max = 10000\nblob_bytes_max = 3000\ntenant_blob_bytes_max = 5000\n\
                  tenant_deployments_max = 4\ntenant_tokens_max = 3\n";
    let bench = Bench::start_with(limits).await;
    let contract = Contract::new();
    let holders = holders(&bench).await;

    for operation in OPERATIONS {
        provoke_the_usual(&contract, &bench, &holders, operation).await;
    }
    operators(&contract, &bench).await;
    users(&contract, &bench).await;
    crowded(&contract).await;

    assert_eq!(contract.missing(), Vec::<String>::new());
}

/// Somebody of each role.
async fn holders(bench: &Bench) -> BTreeMap<Role, Caller> {
    let device = bench.device("spare").await;
    let admin = bench.tenant("usual").await;
    for (holder, path, body) in [
        (&bench.operator, api::path::TENANTS, json!({ "name": "keyed" })),
        (&admin, api::path::TOKENS, json!({ "role": "tenant-user", "name": "keyed" })),
    ] {
        let request = holder.request(Method::POST, path).header("idempotency-key", "taken");
        let request = request.header("content-type", "application/json").body(body.to_string());
        assert_eq!(send(request).await.status, 201);
    }
    BTreeMap::from([
        (Role::Operator, bench.operator.clone()),
        (Role::SecurityOfficer, bench.holder(Role::SecurityOfficer, &[]).await),
        (Role::TenantAdmin, admin),
        (Role::Auditor, bench.holder(Role::Auditor, &[]).await),
        (Role::Device, bench.caller(&device.token)),
    ])
}

/// What follows from the shape of an operation alone.
async fn provoke_the_usual(
    contract: &Contract,
    bench: &Bench,
    holders: &BTreeMap<Role, Caller>,
    operation: &Operation,
) {
    let at = (operation.method, operation.path);
    let blob = "0".repeat(64);
    let nothing: Vec<&str> = parameters(operation)
        .map(|name| match name {
            "sha256" => blob.as_str(),
            "package" => "ta",
            _ => "none",
        })
        .collect();
    let Some(scope) = operation.scope else {
        contract.call(&bench.caller(""), at, &nothing, "", None).await;
        return;
    };
    contract.call(&bench.caller(""), at, &nothing, "", None).await.refused(401, "unauthenticated");
    for (role, holder) in holders.iter().filter(|(role, _)| !role.scopes().contains(&scope)) {
        let problem = contract.call(holder, at, &nothing, "", None).await.refused(403, "forbidden");
        assert_eq!(problem.expected.as_deref(), Some(scope.as_str()), "{at:?} by {role}");
    }
    let holder = holders.iter().find(|(role, _)| role.scopes().contains(&scope)).unwrap().1;
    if operation.is_keyed() {
        keyed(contract, holders, operation, &nothing).await;
    }
    if !operation.query.is_empty() {
        let answer = contract.call(holder, at, &nothing, "?colour=red", None).await;
        answer.refused(400, "malformed");
    }
    if let Body::Json(_) = operation.body {
        let wrong = [
            ("text/plain", b"{}".to_vec(), 415, "media-type"),
            ("application/json", b"{".to_vec(), 400, "malformed"),
            ("application/json", br#"{"colour":"red"}"#.to_vec(), 400, "malformed"),
            ("application/json", vec![b' '; 1_100_000], 413, "too-large"),
        ];
        for (media_type, bytes, status, kind) in wrong {
            let body = Some((media_type, bytes));
            contract.call(holder, at, &nothing, "", body).await.refused(status, kind);
        }
    }
    if operation.problems.contains(&"not-found") && !nothing.is_empty() {
        let body = match operation.body {
            Body::None => None,
            Body::Json(_) => {
                let members = match operation.path {
                    api::path::PLACEMENTS => json!({ "ticket": "none" }),
                    api::path::RECEIPTS => json!({ "receipt": "AAAA" }),
                    api::path::ORDERS => json!({ "order": "drain" }),
                    _ => json!({ "nonce": NONCE_TEXT }),
                };
                Some((api::media::JSON, members.to_string()))
            }
            Body::Bytes(media_type) => Some((media_type, String::new())),
        };
        let body = body.map(|(media_type, text)| (media_type, text.into_bytes()));
        contract.call(holder, at, &nothing, "", body).await.refused(404, "not-found");
    }
}

/// A key that is none, and one under which its holder has asked for something else.
async fn keyed(
    contract: &Contract,
    holders: &BTreeMap<Role, Caller>,
    operation: &Operation,
    fill: &[&str],
) {
    let scope = operation.scope.unwrap();
    let holder = match Role::Operator.scopes().contains(&scope) {
        true => &holders[&Role::Operator],
        false => &holders[&Role::TenantAdmin],
    };
    let mut path = operation.path.to_owned();
    for value in fill {
        let (start, end) = (path.find('{').unwrap(), path.find('}').unwrap());
        path.replace_range(start..=end, value);
    }
    let ask = json!({ "case": 3, "instance": "process", "hardware": ["SGX"] });
    let longer = "x".repeat(256);
    for (key, status, kind) in [(longer.as_str(), 400, "malformed"), ("taken", 409, "conflict")] {
        let request = holder.request(Method::POST, &path).header("idempotency-key", key);
        let request = request.header("content-type", "application/json").body(ask.to_string());
        let answer = send(request).await;
        contract.check("post", operation.path, &answer);
        let problem = answer.refused(status, kind);
        assert_eq!(problem.check.as_deref(), Some("idempotency-key"), "{}", operation.path);
    }
}

fn parameters(operation: &Operation) -> impl Iterator<Item = &'static str> {
    operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Tenants, credentials, devices and the log.
async fn operators(contract: &Contract, bench: &Bench) {
    let operator = &bench.operator;
    let (tenants, tokens, devices) = (api::path::TENANTS, api::path::TOKENS, api::path::DEVICES);
    let acme = contract.json(operator, ("post", tenants), &[], json!({ "name": "acme" })).await;
    let acme: TenantAdded = acme.expect(201);
    contract.json(operator, ("post", tenants), &[], json!({ "name": "acme" })).await;
    contract.get(operator, tenants, &[]).await;

    let asked = json!({ "role": "tenant-user", "name": "a", "tenant": acme.tenant });
    let added = contract.json(operator, ("post", tokens), &[], asked.clone()).await;
    let added: TokenAdded = added.expect(201);
    contract.json(operator, ("post", tokens), &[], asked.clone()).await;
    contract.json(operator, ("post", tokens), &[], asked).await.refused(403, "quota");
    let user = bench.caller(&acme.token);
    let wide = json!({ "role": "operator", "name": "a" });
    contract.json(&user, ("post", tokens), &[], wide).await.refused(403, "untrusted");
    let nobody = json!({ "role": "tenant-user", "name": "a", "tenant": "nobody" });
    contract.json(operator, ("post", tokens), &[], nobody).await.refused(404, "not-found");
    let certificate = "0".repeat(64);
    let certificate = json!({ "role": "auditor", "name": "a", "certificate_sha256": certificate });
    let second = Bench::start().await;
    contract.json(&second.operator, ("post", tokens), &[], certificate.clone()).await;
    let again = contract.json(&second.operator, ("post", tokens), &[], certificate).await;
    again.refused(409, "conflict");
    let own: Vec<api::TokenView> = contract.get(&second.operator, tokens, &[]).await.expect(200);
    let end = ("delete", api::path::TOKEN);
    let last = contract.call(&second.operator, end, &[&own[0].id], "", None).await;
    last.refused(409, "conflict");
    assert_eq!(contract.call(operator, end, &[&added.id], "", None).await.status, 204);

    let edge = json!({ "device": "other", "hardware": "SGX", "instances": ["process"] });
    contract.json(operator, ("post", devices), &[], edge.clone()).await;
    contract.json(operator, ("post", devices), &[], edge).await.refused(409, "conflict");
    contract.get(operator, devices, &[]).await;
    contract.get(operator, api::path::DEVICE, &["other"]).await;
    contract.call(operator, ("post", api::path::ENROLMENTS), &["other"], "", None).await;
    joining(contract, bench).await;

    let counted = contract.get(operator, api::path::METRICS, &[]).await;
    let text = String::from_utf8(counted.body).unwrap();
    let label = "path=\"/v1/devices\",method=\"POST\",status=\"2xx\"";
    assert!(text.contains(&format!("tamarack_http_request_seconds_count{{{label}}}")), "{text}");
    assert!(text.contains("tamarack_devices{state=\"enrolled\",hardware=\"SGX\"}"));
    contract.get(operator, api::path::CHECKPOINT, &[]).await;
    contract.get(operator, api::path::ENTRIES, &[]).await;
    contract.get(operator, api::path::ENTRY, &["0"]).await;
    contract.call(operator, ("get", api::path::CONSISTENCY), &[], "?from=1", None).await;
}

/// Devices that are announced, join, and are ordered about.
async fn joining(contract: &Contract, bench: &Bench) {
    let operator = &bench.operator;
    let (tokens, token) = (api::path::JOIN_TOKENS, api::path::JOIN_TOKEN);
    let hardware = "00".repeat(16);
    let device = |name: &str| {
        json!({
            "device": name, "hardware": "SGX", "instances": ["process"], "hardware_id": hardware,
        })
    };
    let asked = json!({ "devices": [device("joins"), device("never")] });
    let added = contract.json(operator, ("post", tokens), &[], asked.clone()).await;
    let added: api::JoinTokensAdded = added.expect(201);
    contract.json(operator, ("post", tokens), &[], asked).await.refused(409, "conflict");
    contract.get(operator, tokens, &[]).await;

    let (nobody, joins) = (bench.caller(""), ("post", api::path::JOINS));
    let join = |token: &str, hardware: &str| json!({ "token": token, "hardware_id": hardware });
    for (media_type, bytes, kind) in [
        ("text/plain", b"{}".to_vec(), "media-type"),
        ("application/json", b"{".to_vec(), "malformed"),
        ("application/json", vec![b' '; 70_000], "too-large"),
    ] {
        let answer = contract.call(&nobody, joins, &[], "", Some((media_type, bytes))).await;
        assert_eq!(serde_json::from_slice::<api::Problem>(&answer.body).unwrap().name(), kind);
    }
    contract.json(&nobody, joins, &[], join("x", "00")).await.refused(401, "unauthenticated");
    let [first, second] = &added.tokens[..] else { panic!("two devices were announced") };
    let other = join(&first.token, "11");
    contract.json(&nobody, joins, &[], other).await.refused(403, "untrusted");
    let own = join(&first.token, &hardware);
    contract.json(&nobody, joins, &[], own).await.expect::<api::DeviceAdded>(201);
    let taken = json!({
        "device": second.device, "hardware": "SGX", "instances": ["process"],
    });
    contract.json(operator, ("post", api::path::DEVICES), &[], taken).await;
    let late = join(&second.token, &hardware);
    contract.json(&nobody, joins, &[], late).await.refused(409, "conflict");
    let end = contract.call(operator, ("delete", token), &[&second.id], "", None).await;
    assert_eq!(end.status, 204);

    let pending = contract.call(operator, ("post", api::path::ENROLMENTS), &["joins"], "", None);
    pending.await.refused(409, "conflict");
    let orders = ("post", api::path::ORDERS);
    let approve = json!({ "order": "approve" });
    contract.json(operator, orders, &["joins"], approve.clone()).await.expect::<Value>(200);
    contract.json(operator, orders, &["joins"], approve).await.refused(409, "conflict");

    let crowd = Bench::start_with("teep_burst_max = 1\nteep_per_second_max = 1\n").await;
    let nobody = crowd.caller("");
    contract.json(&nobody, joins, &[], join("x", "00")).await;
    contract.json(&nobody, joins, &[], join("x", "00")).await.refused(429, "too-many");
}

/// A whole deployment, and what goes wrong around one.
async fn users(contract: &Contract, bench: &Bench) {
    let user = bench.tenant("user").await;
    let requests = ("post", api::path::REQUESTS);
    let ask = json!({ "case": 3, "instance": "process", "hardware": ["SGX"] });
    contract.json(&user, requests, &[], ask.clone()).await.refused(409, "no-place");
    let mut device = enrolled(bench, "edge").await;
    let other = json!({ "case": 9, "instance": "process", "hardware": ["SGX"] });
    contract.json(&user, requests, &[], other).await.refused(422, "unsupported");
    let placed: api::RequestPlaced =
        contract.json(&user, requests, &[], ask.clone()).await.expect(201);
    let id = placed.deployment.as_str();
    let second = keys(contract, &user, &ask).await;
    let owner = Owner::new();
    let blob = vec![1; 2500];
    placement(contract, &user, &device.broker, &owner.ua_at(&bench.url, &blob)).await;
    contract.json(&user, requests, &[], ask).await.refused(403, "quota");

    blobs(contract, &user, &device.broker, &blob).await;
    let attestations = ("post", api::path::ATTESTATIONS);
    let nonce = json!({ "nonce": NONCE_TEXT });
    contract.json(&user, attestations, &[id], nonce.clone()).await.refused(409, "conflict");
    packages(contract, &user, id, &owner).await;
    let wake = contract.get(&device.broker, api::path::WAKE, &["edge"]).await;
    assert_eq!(wake.status, 200);
    contract.get(&device.broker, api::path::WAKE, &["edge"]).await;
    bench.clock.advance_ms(61_000);
    device.work().await;

    let asked = contract.json(&user, attestations, &[id], nonce.clone()).await;
    let asked: api::AttestationAccepted = asked.expect(202);
    let result = [id, &asked.attestation];
    assert_eq!(contract.get(&user, api::path::ATTESTATION, &result).await.status, 202);
    device.work().await;
    assert_eq!(contract.get(&user, api::path::ATTESTATION, &result).await.status, 200);
    released_live(contract, &user, &mut device, &second).await;
    let again = contract.json(&user, attestations, &[id], nonce).await;
    let again: api::AttestationAccepted = again.expect(202);
    device.misbehave(bench, emulator::Misbehaviour::Debug);
    device.work().await;
    let refused = contract.get(&user, api::path::ATTESTATION, &[id, &again.attestation]).await;
    refused.refused(403, "refused");

    contract.get(&user, api::path::DEPLOYMENT, &[id]).await;
    contract.get(&user, api::path::DEPLOYMENTS, &[]).await;
    contract.get(&user, api::path::RECEIPTS, &[id]).await;
    contract.get(&user, api::path::PROOFS, &[id]).await;
    let followed = contract.get(&user, api::path::PROGRESS, &[id]).await;
    assert!(String::from_utf8(followed.body).unwrap().starts_with("event: deployment\nid: "));
    let wrong = user.request(Method::GET, &api::path::progress(id)).header("last-event-id", "x");
    contract.check("get", api::path::PROGRESS, &send(wrong).await);
}

/// An idempotency key and another request under it.
async fn keys(contract: &Contract, user: &Caller, ask: &Value) -> String {
    let place = async |key: &str, ask: &Value| {
        let request = user.request(Method::POST, api::path::REQUESTS);
        let request = request.header("content-type", "application/json");
        let answer = send(request.header("idempotency-key", key).body(ask.to_string())).await;
        contract.check("post", api::path::REQUESTS, &answer);
        answer
    };
    let first: api::RequestPlaced = place("one", ask).await.expect(201);
    let again: api::RequestPlaced = place("one", ask).await.expect(201);
    assert_eq!(first, again);
    let other = json!({ "case": 3, "instance": "process", "with_ua": true });
    let problem = place("one", &other).await.refused(409, "conflict");
    assert_eq!(problem.check.as_deref(), Some("idempotency-key"));
    place(&"x".repeat(256), ask).await.refused(400, "malformed");
    let second: api::RequestPlaced = place("two", ask).await.expect(201);
    assert_ne!(first.deployment, second.deployment);
    second.deployment
}

/// Data that goes to the device past the M/OC.
async fn released_live(contract: &Contract, user: &Caller, device: &mut Sim, id: &str) {
    user.upload(id, PackageName::Ta, Owner::new().ta(1)).await;
    device.work().await;
    let receipt = STANDARD.encode(signed(&device.keys.receipt, id));
    let tell = async |receipt: &str| {
        let told = json!({ "receipt": receipt });
        contract.json(user, ("post", api::path::RECEIPTS), &[id], told).await
    };
    tell(&receipt).await.refused(409, "conflict");
    attest(user, id).await;
    device.work().await;
    tell("AAAA").await.refused(403, "untrusted");
    assert_eq!(tell(&receipt).await.status, 204);
}

/// Case 4: the Broker places a UA by itself, and tells what became of it.
async fn placement(contract: &Contract, user: &Caller, broker: &Caller, envelope: &[u8]) {
    let ask = json!({
        "case": 4, "instance": "process", "hardware": ["SGX"], "with_ua": true,
    });
    let placed: api::RequestPlaced = user.post(api::path::REQUESTS, &ask).await.expect(201);
    user.upload(&placed.deployment, PackageName::Ua, envelope.to_vec()).await;
    let wake: api::Wake = broker.get(&api::path::wake("edge")).await.expect(200);
    assert!(wake.place.is_some());

    let tell = async |told: Value| {
        contract.json(broker, ("post", api::path::PLACEMENTS), &["edge"], told).await
    };
    let wrong = json!({ "ticket": wake.ticket, "report": "not hexadecimal" });
    tell(wrong).await.refused(400, "malformed");
    let told = json!({ "ticket": wake.ticket, "report": "00" });
    assert_eq!(tell(told.clone()).await.status, 204);
    tell(told).await.refused(404, "not-found");
}

async fn blobs(contract: &Contract, user: &Caller, broker: &Caller, blob: &[u8]) {
    let put = async |bytes: &[u8], name: &str| {
        let body = Some((api::media::OCTETS, bytes.to_vec()));
        contract.call(user, ("put", api::path::BLOB), &[name], "", body).await
    };
    let name = |bytes: &[u8]| -> String {
        cose::sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!(put(blob, &name(blob)).await.status, 201);
    assert_eq!(put(blob, &name(blob)).await.status, 200);
    put(blob, "x").await.refused(400, "malformed");
    put(&[2; 3001], &name(&[2; 3001])).await.refused(413, "too-large");
    put(&[2; 2500], &name(&[2; 2500])).await.refused(403, "quota");
    assert_eq!(contract.get(broker, api::path::BLOB, &[&name(blob)]).await.status, 200);
    for (range, status) in [("bytes=0-4", 206), ("bytes=2500-", 416)] {
        let path = api::path::blob(&name(blob));
        let answer = send(broker.request(Method::GET, &path).header("range", range)).await;
        assert_eq!(answer.status, status);
        contract.check("get", api::path::BLOB, &answer);
    }
}

async fn packages(contract: &Contract, user: &Caller, id: &str, owner: &Owner) {
    let put = async |package: PackageName, media_type: &str, envelope: Vec<u8>| {
        let fill = [id, package.as_str()];
        let body = Some((media_type, envelope));
        contract.call(user, ("put", api::path::PACKAGE), &fill, "", body).await
    };
    let (suit, ta) = (api::media::SUIT_ENVELOPE, PackageName::Ta);
    put(ta, "text/plain", Vec::new()).await.refused(415, "media-type");
    put(ta, suit, vec![0; 10_001]).await.refused(413, "too-large");
    put(ta, suit, b"x".to_vec()).await.refused(400, "malformed");
    put(PackageName::Pd, suit, owner.pd(1)).await.refused(409, "conflict");
    put(ta, suit, owner.ua(1)).await.refused(422, "unsupported");
    let stolen = signed_again(&owner.ta(1), &Owner::new().key);
    put(ta, suit, stolen).await.refused(403, "untrusted");
    let envelope = owner.ta(1);
    assert_eq!(put(ta, suit, envelope.clone()).await.status, 201);
    assert_eq!(put(ta, suit, envelope).await.status, 200);
}

/// Every operation with a credential is bounded.
async fn crowded(contract: &Contract) {
    let bench = Bench::start_with("tenant_burst_max = 1\ntenant_per_second_max = 1\n").await;
    bench.clock.advance_ms(1_000);
    let tenant = bench.tenant("crowd").await;
    bench.clock.advance_ms(1_000);
    let device = bench.caller(&bench.device("crowd").await.token);
    for (by, role) in
        [(&bench.operator, Role::Operator), (&tenant, Role::TenantAdmin), (&device, Role::Device)]
    {
        let _last = by.get("/v1/tokens").await;
        for operation in OPERATIONS {
            if operation.scope.is_none_or(|scope| !role.scopes().contains(&scope)) {
                continue;
            }
            let nothing: Vec<&str> = parameters(operation).map(|_| "none").collect();
            let at = (operation.method, operation.path);
            contract.call(by, at, &nothing, "", None).await.refused(429, "too-many");
        }
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let path = api::path::deployment(&placed(&user, false).await.deployment);
    let first = user.get(&path).await;
    let tag = first.header("etag").to_owned();
    let with = |tag: &str| user.request(Method::GET, &path).header("if-none-match", tag);

    let same = send(with(&tag)).await;
    let other = send(with("\"other\"")).await;

    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, tag.as_str()));
    assert_eq!((other.status, &other.body), (200, &first.body));
}

#[tokio::test]
async fn lists_come_in_pages_that_lead_to_each_other() {
    let bench = Bench::start().await;
    for name in ["c", "a", "b"] {
        bench.device(name).await;
    }

    let first = bench.operator.get("/v1/devices?limit=2").await;
    let second = bench.operator.get("/v1/devices?after=b&limit=2").await;
    let client = sdk::MocClient::new(&bench.url, bench.operator.token(), None).unwrap();

    assert_eq!(first.header("link"), "</v1/devices?after=b&limit=2>; rel=\"next\"");
    assert_eq!(second.header("link"), "");
    let shown: Vec<api::DeviceView> = second.expect(200);
    assert_eq!(shown.iter().map(|d| d.device.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(client.devices().await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let bench = Bench::start().await;
    let anybody = bench.caller("");

    let page = anybody.get("/api").await;
    let served: Value = anybody.get("/openapi.json").await.expect(200);

    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src"));
    for word in ["src=\"", "href=\""] {
        for link in html.split(word).skip(1) {
            let path = link.split('"').next().unwrap();
            assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
            assert_eq!(anybody.get(path).await.status, 200, "{path}");
        }
    }
    assert_eq!(served["openapi"], "3.1.0");
}

#[tokio::test]
async fn progress_is_told_as_it_happens_and_ends_with_the_deployment() {
    let bench = Bench::start_with("poll_ms_max = 25000\n").await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    let (listener, path) = (user.clone(), api::path::progress(&id));
    let followed = tokio::spawn(async move { listener.get(&path).await });

    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.broken = true;
    device.work().await;

    let text = String::from_utf8(followed.await.unwrap().body).unwrap();
    let states: Vec<api::State> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<api::Deployment>(data).unwrap().state)
        .collect();
    assert_eq!(states.last(), Some(&api::State::Failed), "{text}");
}
