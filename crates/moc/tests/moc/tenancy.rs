//! Who may do what: roles, scopes, ends, bounds, and tenants that try to reach each other.

use api::{Deployment, PackageName, Role, Scope, TenantAdded, TenantView, TokenAdded, TokenView};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, Identity, Method};
use serde_json::{Value, json};

use crate::{
    audience::{Caller, send},
    bench::Bench,
    case3::{NONCE_TEXT, Owner, attest, enrolled, placed},
    certificate::{Name, VALID},
};

async fn token(by: &Caller, asked: Value) -> TokenAdded {
    by.post(api::path::TOKENS, &asked).await.expect(201)
}

/// A tenant that has one of everything, and the paths to all of it.
struct Victim {
    user: Caller,
    paths: Vec<(Method, String)>,
}

async fn victim(bench: &Bench) -> Victim {
    let user = bench.tenant("acme").await;
    let mut device = enrolled(bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    let attestation = attest(&user, &id).await;
    device.work().await;
    let tokens: Vec<TokenView> = user.get(api::path::TOKENS).await.expect(200);
    let (get, put) = (Method::GET, Method::PUT);
    let paths = vec![
        (get.clone(), api::path::deployment(&id)),
        (get.clone(), api::path::deployment_after(&id, 0)),
        (get.clone(), api::path::attestation(&id, &attestation)),
        (get.clone(), api::path::receipts(&id)),
        (get, api::path::proofs(&id)),
        (Method::POST, api::path::attestations(&id)),
        (put.clone(), api::path::package(&id, PackageName::Ua)),
        (put.clone(), api::path::package(&id, PackageName::Ta)),
        (put, api::path::package(&id, PackageName::Pd)),
        (Method::DELETE, api::path::token(&tokens[0].id)),
    ];
    Victim { user, paths }
}

#[tokio::test]
async fn a_foreign_tenant_meets_nothing_wherever_it_knocks() {
    let bench = Bench::start().await;
    let victim = victim(&bench).await;
    let rival = bench.tenant("rival").await;
    let mine = placed(&rival, false).await.deployment;
    let before: Vec<Vec<u8>> = looks(&victim).await;

    for (method, path) in &victim.paths {
        let mut request = rival.request(method.clone(), path);
        if *method == Method::POST {
            let body = json!({ "nonce": NONCE_TEXT }).to_string();
            request = request.header("content-type", "application/json").body(body);
        } else if *method == Method::PUT {
            let envelope = Owner::new().ta(1);
            request = request.header("content-type", api::media::SUIT_ENVELOPE).body(envelope);
        }
        let problem = send(request).await.refused(404, "not-found");
        assert_eq!(problem.seen, None, "{method} {path} tells something");
    }

    assert_eq!(looks(&victim).await, before);
    // An attestation of the victim is nothing under a deployment of one's own either.
    let attestation = victim.paths[2].1.rsplit('/').next().unwrap();
    rival.get(&api::path::attestation(&mine, attestation)).await.refused(404, "not-found");
}

async fn looks(victim: &Victim) -> Vec<Vec<u8>> {
    let mut looks = Vec::new();
    for (_, path) in victim
        .paths
        .iter()
        .filter(|(method, path)| *method == Method::GET && !path.contains("proofs"))
    {
        looks.push(victim.user.get(path).await.body);
    }
    looks
}

#[tokio::test]
async fn a_credential_ends_when_its_time_comes_or_somebody_revokes_it() {
    let bench = Bench::start().await;
    let asked = json!({ "role": "auditor", "name": "ci", "expires_in_s": 60 });
    let short = token(&bench.operator, asked).await;
    let long = token(&bench.operator, json!({ "role": "auditor", "name": "ci" })).await;
    let short = bench.caller(&short.token.unwrap());
    let (id, long) = (long.id, bench.caller(&long.token.unwrap()));
    assert_eq!(short.get(api::path::CHECKPOINT).await.status, 200);

    bench.clock.advance_ms(60_000);

    short.get(api::path::CHECKPOINT).await.refused(401, "unauthenticated");
    assert_eq!(long.get(api::path::CHECKPOINT).await.status, 200);
    let path = api::path::token(&id);
    assert_eq!(send(bench.operator.request(Method::DELETE, &path)).await.status, 204);
    long.get(api::path::CHECKPOINT).await.refused(401, "unauthenticated");
    send(bench.operator.request(Method::DELETE, &path)).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_secret_is_in_no_file_and_in_no_list() {
    let bench = Bench::start().await;
    let added = token(&bench.operator, json!({ "role": "auditor", "name": "ci" })).await;
    let secret = added.token.unwrap();

    let listed = bench.operator.get(api::path::TOKENS).await;

    let text = String::from_utf8(listed.body).unwrap();
    assert!(text.contains(&added.id) && !text.contains(&secret));
    let dir = bench.dir.path().join("moc");
    for file in ["moc.db", "moc.db-wal"] {
        let bytes = std::fs::read(dir.join(file)).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file}");
    }
}

#[tokio::test]
async fn scopes_narrow_a_credential_and_what_it_makes() {
    let bench = Bench::start().await;
    let tenant: TenantAdded =
        bench.operator.post(api::path::TENANTS, &json!({ "name": "acme" })).await.expect(201);
    let admin = bench.caller(&tenant.token);
    let asked = json!({ "role": "tenant-user", "name": "watch", "scopes": ["deployments:read"] });
    let reader = bench.caller(&token(&admin, asked).await.token.unwrap());
    let asked = json!({ "role": "tenant-admin", "name": "minter", "scopes": ["tokens:write"] });
    let minter = bench.caller(&token(&admin, asked).await.token.unwrap());

    let ask = json!({ "case": 3, "instance": "process" });
    let problem = reader.post(api::path::REQUESTS, &ask).await.refused(403, "forbidden");
    assert_eq!(problem.expected.as_deref(), Some("deployments:write"));
    reader.get(api::path::TOKENS).await.refused(403, "forbidden");

    let refused = async |by: &Caller, asked: Value, status, kind, check: &str| {
        let problem = by.post(api::path::TOKENS, &asked).await.refused(status, kind);
        assert_eq!(problem.check.as_deref(), Some(check), "{asked}");
    };
    let user = json!({ "role": "tenant-user", "name": "x" });
    refused(&minter, user, 403, "untrusted", "scopes").await;
    for role in ["operator", "security-officer", "auditor", "device"] {
        let asked = json!({ "role": role, "name": "x" });
        refused(&admin, asked, 403, "untrusted", "role").await;
    }
    let beyond = json!({ "role": "tenant-user", "name": "x", "scopes": ["tokens:write"] });
    refused(&admin, beyond, 400, "malformed", "scopes").await;
    let device = json!({ "role": "device", "name": "x" });
    refused(&bench.operator, device, 403, "untrusted", "role").await;
    let nobody = json!({ "role": "tenant-user", "name": "x" });
    refused(&bench.operator, nobody, 400, "malformed", "tenant").await;
    let long = json!({ "role": "auditor", "name": "x", "expires_in_s": 31_622_401 });
    refused(&bench.operator, long, 400, "malformed", "expires_in_s").await;
    let foreign = json!({ "role": "tenant-user", "name": "x", "tenant": "another" });
    admin.post(api::path::TOKENS, &foreign).await.refused(404, "not-found");
    bench.operator.post(api::path::TOKENS, &foreign).await.refused(404, "not-found");
}

#[tokio::test]
async fn an_admin_sees_and_ends_the_credentials_of_the_own_tenant_alone() {
    let bench = Bench::start().await;
    let acme = bench.tenant("acme").await;
    let rival = bench.tenant("rival").await;
    let asked = json!({ "role": "tenant-user", "name": "ci" });
    let mine = token(&acme, asked).await;

    let mut seen: Vec<TokenView> = acme.get(api::path::TOKENS).await.expect(200);
    seen.sort_by_key(|token| token.role);
    let theirs: Vec<TokenView> = rival.get(api::path::TOKENS).await.expect(200);
    let all: Vec<TokenView> = bench.operator.get(api::path::TOKENS).await.expect(200);

    assert_eq!(
        seen.iter().map(|t| t.role).collect::<Vec<_>>(),
        [Role::TenantAdmin, Role::TenantUser]
    );
    assert!(theirs.iter().all(|token| token.id != mine.id));
    assert_eq!(all.len(), 4);
    let reads = [Scope::DeploymentsRead, Scope::DeploymentsWrite];
    assert!(seen[1].scopes.iter().eq(&reads));
}

#[tokio::test]
async fn the_last_credential_of_the_operator_stays() {
    let bench = Bench::start().await;
    let all: Vec<TokenView> = bench.operator.get(api::path::TOKENS).await.expect(200);
    let first = api::path::token(&all[0].id);
    let end = async || send(bench.operator.request(Method::DELETE, &first)).await;

    let problem = end().await.refused(409, "conflict");
    let second = bench.holder(Role::Operator, &[]).await;

    assert_eq!(problem.check.as_deref(), Some("last-operator"));
    assert_eq!(end().await.status, 204);
    assert_eq!(second.get(api::path::TENANTS).await.status, 200);
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_waits_and_the_others_do_not() {
    let bench = Bench::start_with("tenant_burst_max = 5\ntenant_per_second_max = 1\n").await;
    let acme = bench.tenant("acme").await;
    let rival = bench.tenant("rival").await;

    let mut last = acme.get("/v1/deployments/none").await;
    for _ in 0..4 {
        last.refused(404, "not-found");
        last = acme.get("/v1/deployments/none").await;
    }
    last.refused(404, "not-found");
    let refused = acme.get("/v1/deployments/none").await;

    refused.refused(429, "too-many");
    assert_eq!(refused.header("retry-after"), "1");
    rival.get("/v1/deployments/none").await.refused(404, "not-found");
    bench.clock.advance_ms(1_000);
    acme.get("/v1/deployments/none").await.refused(404, "not-found");
}

#[tokio::test]
async fn a_tenant_has_no_more_than_its_quota_and_keeps_what_it_has() {
    let limits = "tenant_deployments_max = 2\ntenant_blob_bytes_max = 10\ntenant_tokens_max = 2\n";
    let bench = Bench::start_with(limits).await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let kept = placed(&user, false).await.deployment;
    placed(&user, false).await;

    let ask = json!({ "case": 3, "instance": "process", "hardware": ["SGX"] });
    let problem = user.post(api::path::REQUESTS, &ask).await.refused(403, "quota");
    assert_eq!(problem.expected.as_deref(), Some("at most 2 deployments under way"));
    let blob = async |bytes: &[u8]| {
        let path = api::path::blob(&hexadecimal(&cose::sha256(bytes)));
        user.put(&path, api::media::OCTETS, bytes.to_vec()).await
    };
    assert_eq!(blob(b"123456").await.status, 201);
    blob(b"78901").await.refused(403, "quota");
    assert_eq!(blob(b"7890").await.status, 201);
    let asked = json!({ "role": "tenant-user", "name": "x" });
    token(&user, asked.clone()).await;
    user.post(api::path::TOKENS, &asked).await.refused(403, "quota");

    let _still: Deployment = user.get(&api::path::deployment(&kept)).await.expect(200);
    let tenants: Vec<TenantView> = bench.operator.get(api::path::TENANTS).await.expect(200);
    assert_eq!((tenants[0].open_deployments, tenants[0].blob_bytes), (2, 10));
}

#[tokio::test]
async fn a_client_certificate_is_a_credential_when_somebody_made_it_one() {
    let bench = Bench::start_tls("").await;
    let issued = bench.authority.issue(Name::Other("auditor.example"), VALID);
    let body: String = issued.certificate.lines().filter(|line| !line.contains("---")).collect();
    let fingerprint = hexadecimal(&cose::sha256(&STANDARD.decode(body).unwrap()));
    let identity = format!("{}{}", issued.certificate, issued.key);
    let root = reqwest::Certificate::from_pem(bench.authority.root().as_bytes()).unwrap();
    let client = Client::builder()
        .tls_certs_only([root])
        .identity(Identity::from_pem(identity.as_bytes()).unwrap())
        .build()
        .unwrap();
    let look = || client.get(format!("{}{}", bench.url, api::path::CHECKPOINT));

    let unknown = send(look()).await;
    let asked = json!({ "role": "auditor", "name": "mtls", "certificate_sha256": fingerprint });
    let added = token(&bench.operator, asked).await;
    let known = send(look()).await;
    let wrong_scope = send(client.post(format!("{}{}", bench.url, api::path::TENANTS))).await;
    let false_token = send(look().bearer_auth("none")).await;

    unknown.refused(401, "unauthenticated");
    assert_eq!((added.token, known.status), (None, 200));
    wrong_scope.refused(403, "forbidden");
    false_token.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_is_refused_in_the_handshake() {
    let bench = Bench::start_tls("").await;
    let issued = crate::certificate::Authority::new().issue(Name::Other("x.example"), VALID);
    let identity = format!("{}{}", issued.certificate, issued.key);
    let root = reqwest::Certificate::from_pem(bench.authority.root().as_bytes()).unwrap();
    let client = Client::builder()
        .tls_certs_only([root])
        .identity(Identity::from_pem(identity.as_bytes()).unwrap())
        .build()
        .unwrap();

    let refused = client.get(format!("{}/healthz", bench.url)).send().await;

    assert!(refused.is_err());
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
