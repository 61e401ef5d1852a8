//! The OpenAPI 3.1 document, made from the types of the contract and the table of operations; and
//! the page that lets a person try them, which loads nothing from elsewhere.

use std::sync::{Arc, OnceLock};

use api::{Kind, Problem, Scope, path};
use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::app::Moc;

/// One operation of the interface.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The method, in small letters as OpenAPI spells it.
    pub method: &'static str,
    /// The path's template.
    pub path: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What the credential has to allow; none for everybody.
    pub scope: Option<Scope>,
    /// Members of the query: name, whether it has to be there, and what it says.
    pub query: &'static [(&'static str, bool, &'static str)],
    /// What is sent.
    pub body: Body,
    /// What comes back: status, what it means, and what is in it.
    pub answers: &'static [(u16, &'static str, Body)],
    /// Kinds of problems, beyond those that every operation has.
    pub problems: &'static [&'static str],
}

/// What a request or an answer carries.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Nothing.
    None,
    /// JSON of this type.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Bytes of a media type.
    Bytes(&'static str),
}

impl Operation {
    /// Whether it takes an idempotency key.
    pub fn is_keyed(&self) -> bool {
        self.method == "post" && self.scope.is_some_and(|scope| scope != Scope::Device)
    }

    /// Every kind of problem that it may answer with.
    pub fn kinds(&self) -> Vec<Kind> {
        let with_body: &[&str] = match self.body {
            Body::None => &[],
            Body::Json(_) => &["malformed", "media-type", "too-large", "too-slow"],
            Body::Bytes(_) => &["too-large", "too-slow"],
        };
        let with_scope: &[&str] = match self.scope {
            None => &[],
            Some(_) => &["unauthenticated", "forbidden", "too-many"],
        };
        let with_key: &[&str] = if self.is_keyed() { &["malformed", "conflict"] } else { &[] };
        let with_query: &[&str] = if self.query.is_empty() { &[] } else { &["malformed"] };
        let always: &[&str] = &["internal", "overloaded"];
        let mut kinds: Vec<Kind> =
            [self.problems, with_body, with_scope, with_key, with_query, always]
                .concat()
                .into_iter()
                .filter_map(Kind::named)
                .collect();
        kinds.sort_by_key(|kind| (kind.status, kind.name));
        kinds.dedup();
        kinds
    }
}

/// The document, pretty-printed.
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| format!("{:#}\n", built()))
}

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new()
        .route(path::OPENAPI, get(async || typed("application/json", document())))
        .route(path::PAGE, get(async || page("text/html; charset=utf-8", HTML)))
        .route(path::PAGE_SCRIPT, get(async || page("text/javascript; charset=utf-8", SCRIPT)))
        .route(path::PAGE_STYLE, get(async || page("text/css; charset=utf-8", STYLE)))
}

fn typed(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
}

fn page(media_type: &'static str, text: &'static str) -> Response {
    let mut response = typed(media_type, text);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn built() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let described = described(operation, &mut schemas, &problem);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tamarack Network M/OC",
            "version": "1",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
            "description": "Confidential computing in the network: places, packages, \
                attestation, receipts. Lists come in pages: follow the `Link` with `rel=\"next\"`. \
                JSON answers carry an `ETag`; `If-None-Match` gets 304. TEEP itself is at `/tam`, \
                by draft-ietf-teep-otrp-over-http.",
        },
        "security": [{ "token": [] }, { "certificate": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "certificate": { "type": "mutualTLS" },
            },
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn described(operation: &Operation, schemas: &mut SchemaGenerator, problem: &Schema) -> Value {
    let mut described = json!({
        "operationId": id(operation),
        "summary": operation.summary,
        "tags": [tag(operation.path)],
    });
    match operation.scope {
        Some(scope) => described["x-scope"] = json!(scope.as_str()),
        None => described["security"] = json!([]),
    }
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if let Some(content) = content(operation.body, schemas) {
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    let mut responses = Map::new();
    for (status, meaning, body) in operation.answers {
        let mut answer = json!({ "description": meaning });
        if let Some(content) = content(*body, schemas) {
            answer["content"] = content;
        }
        responses.insert(status.to_string(), answer);
    }
    for kind in operation.kinds() {
        let answer = responses.entry(kind.status.to_string()).or_insert_with(|| {
            json!({
                "description": "",
                "content": { api::media::PROBLEM: { "schema": problem } },
                "x-problems": [],
            })
        });
        let text = answer["description"].as_str().unwrap_or_default();
        let joined = if text.is_empty() { String::new() } else { format!("{text}; ") };
        answer["description"] = json!(format!("{joined}`{}`: {}", kind.name, kind.title));
        if let Some(kinds) = answer["x-problems"].as_array_mut() {
            kinds.push(json!(kind.name));
        }
    }
    described["responses"] = Value::Object(responses);
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = operation.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }))
    });
    let in_query = operation.query.iter().map(|(name, required, meaning)| {
        json!({
            "name": name, "in": "query", "required": required, "description": meaning,
            "schema": { "type": "string" },
        })
    });
    let key = operation.is_keyed().then(|| {
        json!({
            "name": "idempotency-key", "in": "header", "required": false,
            "description": "The same request under the same key is done once, for a day; an answer \
                with a secret is not given again",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        })
    });
    in_path.chain(in_query).chain(key).collect()
}

fn content(body: Body, schemas: &mut SchemaGenerator) -> Option<Value> {
    match body {
        Body::None => None,
        Body::Json(schema) => Some(json!({ api::media::JSON: { "schema": schema(schemas) } })),
        Body::Bytes(media_type) => Some(json!({ media_type: {} })),
    }
}

/// `getDevicesDevice` and the like: stable, and the same for nothing else.
fn id(operation: &Operation) -> String {
    let words = operation.path.trim_start_matches("/v1").split(['/', '{', '}', '.']);
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    let words: String = words.filter(|word| !word.is_empty()).map(capital).collect();
    format!("{}{words}", operation.method)
}

fn tag(path: &str) -> &str {
    path.trim_start_matches("/v1/").split('/').find(|word| !word.is_empty()).unwrap_or_default()
}

const fn json<T: JsonSchema>() -> Body {
    Body::Json(|schemas| schemas.subschema_for::<T>())
}

const NONE: Operation = Operation {
    method: "get",
    path: "",
    summary: "",
    scope: None,
    query: &[],
    body: Body::None,
    answers: &[],
    problems: &[],
};

const PAGE_QUERY: [(&str, bool, &str); 2] = [
    ("after", false, "What the page before ended with."),
    ("limit", false, "How many at most, 1 to 1000. Default: 1000."),
];

/// Every operation but TEEP's own.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        path: path::HEALTHZ,
        summary: "Whether the program runs",
        answers: &[(204, "It does.", Body::None)],
        ..NONE
    },
    Operation {
        path: path::READYZ,
        summary: "Whether the store answers",
        answers: &[(204, "It does.", Body::None)],
        ..NONE
    },
    Operation {
        path: path::METRICS,
        summary: "Fetch what the program counts, in Prometheus' text format",
        scope: Some(Scope::DevicesRead),
        answers: &[(200, "The counters.", Body::Bytes("text/plain"))],
        ..NONE
    },
    Operation {
        path: path::TENANTS,
        summary: "List tenants",
        scope: Some(Scope::TenantsRead),
        query: &PAGE_QUERY,
        answers: &[(200, "A page, by name.", json::<Vec<api::TenantView>>())],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::TENANTS,
        summary: "Add a tenant",
        scope: Some(Scope::TenantsWrite),
        body: json::<api::PostTenant>(),
        answers: &[(201, "Added; the token is shown this once.", json::<api::TenantAdded>())],
        problems: &["conflict"],
        ..NONE
    },
    Operation {
        path: path::TOKENS,
        summary: "List the credentials that count",
        scope: Some(Scope::TokensWrite),
        query: &PAGE_QUERY,
        answers: &[(200, "A page, oldest first.", json::<Vec<api::TokenView>>())],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::TOKENS,
        summary: "Make a credential",
        scope: Some(Scope::TokensWrite),
        body: json::<api::PostToken>(),
        answers: &[(201, "Made; the token is shown this once.", json::<api::TokenAdded>())],
        problems: &["untrusted", "not-found", "conflict", "quota"],
        ..NONE
    },
    Operation {
        method: "delete",
        path: path::TOKEN,
        summary: "End a credential",
        scope: Some(Scope::TokensWrite),
        answers: &[(204, "It counts no more.", Body::None)],
        problems: &["not-found", "conflict"],
        ..NONE
    },
    Operation {
        path: path::DEVICES,
        summary: "List devices",
        scope: Some(Scope::DevicesRead),
        query: &PAGE_QUERY,
        answers: &[(200, "A page, by name.", json::<Vec<api::DeviceView>>())],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::DEVICES,
        summary: "Add a device",
        scope: Some(Scope::DevicesWrite),
        body: json::<api::PostDevice>(),
        answers: &[(201, "Added; the token is shown this once.", json::<api::DeviceAdded>())],
        problems: &["conflict"],
        ..NONE
    },
    Operation {
        path: path::DEVICE,
        summary: "Show a device with its last verdict",
        scope: Some(Scope::DevicesRead),
        answers: &[(200, "The device.", json::<api::DeviceView>())],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::ENROLMENTS,
        summary: "Appraise a device anew",
        scope: Some(Scope::DevicesWrite),
        answers: &[(201, "Its next session decides.", json::<api::EnrolmentOpened>())],
        problems: &["not-found", "conflict"],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::ORDERS,
        summary: "Approve, drain, resume, quarantine or retire a device",
        scope: Some(Scope::DevicesWrite),
        body: json::<api::PostOrder>(),
        answers: &[(200, "The device as it is then.", json::<api::DeviceView>())],
        problems: &["not-found", "conflict"],
        ..NONE
    },
    Operation {
        path: path::JOIN_TOKENS,
        summary: "List the join tokens that count",
        scope: Some(Scope::DevicesRead),
        query: &PAGE_QUERY,
        answers: &[(200, "A page, by device.", json::<Vec<api::JoinTokenView>>())],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::JOIN_TOKENS,
        summary: "Announce devices, one or a manifest of many: all or none",
        scope: Some(Scope::DevicesWrite),
        body: json::<api::PostJoinTokens>(),
        answers: &[(201, "The tokens, shown this once.", json::<api::JoinTokensAdded>())],
        problems: &["conflict"],
        ..NONE
    },
    Operation {
        method: "delete",
        path: path::JOIN_TOKEN,
        summary: "Take a join token back",
        scope: Some(Scope::DevicesWrite),
        answers: &[(204, "It counts no more.", Body::None)],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::JOINS,
        summary: "Join, as a device with a join token",
        body: json::<api::PostJoin>(),
        answers: &[(201, "Joined; the token is shown this once.", json::<api::DeviceAdded>())],
        problems: &["unauthenticated", "untrusted", "conflict", "too-many"],
        ..NONE
    },
    Operation {
        path: path::WAKE,
        summary: "Wait for work, as the device's Broker",
        scope: Some(Scope::Device),
        answers: &[
            (200, "There is work.", json::<api::Wake>()),
            (204, "There was none for a while.", Body::None),
        ],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::PLACEMENTS,
        summary: "Tell what became of a UA, as the device's Broker",
        scope: Some(Scope::Device),
        body: json::<api::PostPlacement>(),
        answers: &[(204, "Taken.", Body::None)],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        path: path::BLOB,
        summary: "Fetch a blob, whole or in ranges, as a device's Broker",
        scope: Some(Scope::Device),
        answers: &[
            (200, "All of it.", Body::Bytes(api::media::OCTETS)),
            (206, "A part of it.", Body::Bytes(api::media::OCTETS)),
        ],
        problems: &["not-found", "range"],
        ..NONE
    },
    Operation {
        method: "put",
        path: path::BLOB,
        summary: "Store a blob under its digest",
        scope: Some(Scope::DeploymentsWrite),
        body: Body::Bytes(api::media::OCTETS),
        answers: &[
            (200, "The tenant had it.", json::<api::BlobStored>()),
            (201, "Stored.", json::<api::BlobStored>()),
        ],
        problems: &["malformed", "quota"],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::REQUESTS,
        summary: "Ask for a place",
        scope: Some(Scope::DeploymentsWrite),
        body: json::<api::PostRequest>(),
        answers: &[(201, "There is one, and why.", json::<api::RequestPlaced>())],
        problems: &["no-place", "conflict", "unsupported", "quota"],
        ..NONE
    },
    Operation {
        path: path::DEPLOYMENTS,
        summary: "List the tenant's deployments",
        scope: Some(Scope::DeploymentsRead),
        query: &PAGE_QUERY,
        answers: &[(200, "A page, oldest first.", json::<Vec<api::Deployment>>())],
        ..NONE
    },
    Operation {
        path: path::DEPLOYMENT,
        summary: "Show a deployment, or wait for its next change",
        scope: Some(Scope::DeploymentsRead),
        query: &[("wait", false, "The last `seq` that was seen: answers after a change.")],
        answers: &[(200, "The deployment.", json::<api::Deployment>())],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        path: path::PROGRESS,
        summary: "Follow a deployment by server-sent events",
        scope: Some(Scope::DeploymentsRead),
        answers: &[(
            200,
            "An event `deployment` for each change: `id` is its `seq`, `data` a Deployment. \
             `Last-Event-ID` resumes. The stream ends with the deployment.",
            Body::Bytes("text/event-stream"),
        )],
        problems: &["not-found", "malformed"],
        ..NONE
    },
    Operation {
        method: "put",
        path: path::PACKAGE,
        summary: "Bring a package: a SUIT_Envelope",
        scope: Some(Scope::DeploymentsWrite),
        body: Body::Bytes(api::media::SUIT_ENVELOPE),
        answers: &[
            (200, "The same bytes were there.", json::<api::PackageStored>()),
            (201, "Stored.", json::<api::PackageStored>()),
        ],
        problems: &["malformed", "untrusted", "not-found", "conflict", "media-type", "unsupported"],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::ATTESTATIONS,
        summary: "Ask for evidence that is fresh for a nonce",
        scope: Some(Scope::DeploymentsWrite),
        body: json::<api::PostAttestation>(),
        answers: &[(202, "The device is asked.", json::<api::AttestationAccepted>())],
        problems: &["not-found", "conflict"],
        ..NONE
    },
    Operation {
        path: path::ATTESTATION,
        summary: "Fetch an Attestation Result with the raw Evidence",
        scope: Some(Scope::DeploymentsRead),
        answers: &[
            (200, "The signed CMW.", Body::Bytes(api::media::CMW)),
            (202, "The device has not answered.", json::<api::AttestationPending>()),
        ],
        problems: &["not-found", "refused"],
        ..NONE
    },
    Operation {
        path: path::RECEIPTS,
        summary: "Fetch the TEE's receipts",
        scope: Some(Scope::DeploymentsRead),
        answers: &[(200, "Each COSE_Sign1 in base64.", json::<api::Receipts>())],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        method: "post",
        path: path::RECEIPTS,
        summary: "Hand over the receipt of data that was released live, past the M/OC",
        scope: Some(Scope::DeploymentsWrite),
        body: json::<api::PostReceipt>(),
        answers: &[(204, "It is the deployment's next step.", Body::None)],
        problems: &["untrusted", "not-found", "conflict"],
        ..NONE
    },
    Operation {
        path: path::PROOFS,
        summary: "Fetch a receipt of the log for everything that happened in a deployment",
        scope: Some(Scope::DeploymentsRead),
        answers: &[(200, "Oldest first.", json::<Vec<api::LogProof>>())],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        path: path::CHECKPOINT,
        summary: "Sign a checkpoint over the log of decisions",
        scope: Some(Scope::AuditRead),
        answers: &[(200, "The checkpoint.", json::<api::SignedCheckpoint>())],
        ..NONE
    },
    Operation {
        path: path::ENTRIES,
        summary: "Read the log of decisions",
        scope: Some(Scope::AuditRead),
        query: &[
            ("from", false, "Position of the first entry. Default: 0."),
            ("limit", false, "How many at most, 1 to 1000. Default: 1000."),
        ],
        answers: &[(200, "A page.", json::<api::LogPage>())],
        ..NONE
    },
    Operation {
        path: path::ENTRY,
        summary: "Prove that an entry is in the log of decisions",
        scope: Some(Scope::AuditRead),
        answers: &[(200, "The entry with its receipt.", json::<api::LogProof>())],
        problems: &["not-found"],
        ..NONE
    },
    Operation {
        path: path::CONSISTENCY,
        summary: "Prove that the log of decisions continues an older one",
        scope: Some(Scope::AuditRead),
        query: &[("from", true, "Size of the older log.")],
        answers: &[(200, "The receipt.", json::<api::LogConsistency>())],
        ..NONE
    },
];

const HTML: &str = include_str!("openapi/page.html");
const SCRIPT: &str = include_str!("openapi/page.js");
const STYLE: &str = include_str!("openapi/page.css");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
