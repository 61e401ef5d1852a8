//! TEEP messages (draft-ietf-teep-protocol-26 section 4).

use std::borrow::Cow;

use ::teep::{
    AttestationPayload, ComponentId, Message, Numbering, RequestedTc, SystemProperties, Token,
    message::{Error, QueryRequest, QueryResponse, Success, Update},
};

use super::{
    Keyring, any,
    part::{Part, component},
    suit,
};

/// A message in either numbering, newest first.
pub(super) fn message(payload: &[u8], keys: &Keyring) -> Option<Part> {
    let newest = read(payload, Numbering::V26);
    let (message, dialect) = match (newest, read(payload, Numbering::Legacy18)) {
        // Unknown options are passed over: who reads more of it reads it right.
        (Some((_, kept)), Some((message, more))) if more > kept => (message, LEGACY),
        (Some((message, _)), _) => (message, "draft-26 numbers"),
        (None, Some((message, _))) => (message, LEGACY),
        (None, None) => return None,
    };
    let (name, parts) = match &message {
        Message::QueryRequest(request) => ("QueryRequest", query_request(request, keys)),
        Message::QueryResponse(response) => ("QueryResponse", query_response(response, keys)),
        Message::Update(update) => ("Update", self::update(update, keys)),
        Message::Success(success) => ("Success", self::success(success, keys)),
        Message::Error(error) => ("Error", self::error(error, keys)),
    };
    Some(Part::group(name, dialect, parts))
}

/// A message in a numbering, and how much of it was understood.
fn read(payload: &[u8], numbering: Numbering) -> Option<(Message<'_>, usize)> {
    let message = Message::decode(payload, numbering).ok()?;
    let kept = message.encode(numbering).len();
    Some((message, kept))
}

/// What has the frame of a message and breaks its rules: shown with the rule.
pub(super) fn refused(payload: &[u8]) -> Option<Part> {
    let error = Message::decode(payload, Numbering::V26).err()?;
    let mut d = cose::cbor::Decoder::new(payload);
    let elements = d.array().ok()??;
    let number = d.u64().ok()?;
    let framed = elements >= 2 && d.datatype().ok()? == cose::cbor::Type::Map;
    let parts = vec![super::cbor::part("message", payload)];
    let title = format!("type {number}: {error}");
    framed.then(|| Part::group("TEEP message, refused", title, parts))
}

fn query_request(request: &QueryRequest<'_>, keys: &Keyring) -> Vec<Part> {
    let mut parts = Vec::new();
    token(request.token.as_ref(), &mut parts);
    if let Some(challenge) = &request.challenge {
        parts.push(Part::bytes("challenge", challenge.as_bytes()));
    }
    list("versions", request.versions.as_deref().unwrap_or_default(), &mut parts);
    if let Some(mechanisms) = &request.supported_freshness_mechanisms {
        list("supported-freshness-mechanisms", mechanisms, &mut parts);
    }
    payload(request.attestation_payload.as_ref(), keys, &mut parts);
    list("supported-teep-cipher-suites", &request.supported_teep_cipher_suites, &mut parts);
    list("supported-suit-cose-profiles", &request.supported_suit_cose_profiles, &mut parts);
    let bits = request.data_item_requested.0;
    let names = ["attestation", "trusted-components", "extensions", "suit-reports"];
    let wanted: Vec<&str> =
        (0..).zip(names).filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| name).collect();
    parts.push(Part::new("data-item-requested", format!("{bits} ({})", wanted.join(", "))));
    reports(&request.suit_reports, keys, &mut parts);
    parts
}

fn query_response(response: &QueryResponse<'_>, keys: &Keyring) -> Vec<Part> {
    let mut parts = Vec::new();
    token(response.token.as_ref(), &mut parts);
    if let Some(version) = response.selected_version {
        parts.push(Part::new("selected-version", version.to_string()));
    }
    payload(response.attestation_payload.as_ref(), keys, &mut parts);
    if let Some(listed) = &response.tc_list {
        parts.push(Part::group("tc-list", "", listed.iter().map(properties).collect()));
    }
    if !response.requested_tc_list.is_empty() {
        let wanted = response.requested_tc_list.iter().map(requested).collect();
        parts.push(Part::group("requested-tc-list", "", wanted));
    }
    components("unneeded-manifest-list", &response.unneeded_manifest_list, &mut parts);
    if let Some(extensions) = &response.ext_list {
        list("ext-list", extensions, &mut parts);
    }
    reports(&response.suit_reports, keys, &mut parts);
    parts
}

fn update(update: &Update<'_>, keys: &Keyring) -> Vec<Part> {
    let mut parts = Vec::new();
    token(update.token.as_ref(), &mut parts);
    components("unneeded-manifest-list", &update.unneeded_manifest_list, &mut parts);
    for (number, envelope) in (1..).zip(&update.manifest_list) {
        let inside = suit::envelope(envelope, keys);
        let shown = inside.unwrap_or_else(|| any(envelope, keys));
        parts.push(Part::group(format!("manifest {number}"), "", vec![shown]));
    }
    payload(update.attestation_payload.as_ref(), keys, &mut parts);
    if let Some(code) = update.err_code {
        parts.push(Part::new("err-code", err_code(code)));
    }
    text("err-msg", update.err_msg.as_ref(), &mut parts);
    parts
}

fn success(success: &Success<'_>, keys: &Keyring) -> Vec<Part> {
    let mut parts = Vec::new();
    token(success.token.as_ref(), &mut parts);
    text("msg", success.msg.as_ref(), &mut parts);
    reports(&success.suit_reports, keys, &mut parts);
    parts
}

fn error(error: &Error<'_>, keys: &Keyring) -> Vec<Part> {
    let mut parts = vec![Part::new("err-code", err_code(error.err_code))];
    token(error.token.as_ref(), &mut parts);
    text("err-msg", error.err_msg.as_ref(), &mut parts);
    if let Some(challenge) = &error.challenge {
        parts.push(Part::bytes("challenge", challenge.as_bytes()));
    }
    list("supported-teep-cipher-suites", &error.supported_teep_cipher_suites, &mut parts);
    list("supported-freshness-mechanisms", &error.supported_freshness_mechanisms, &mut parts);
    list("supported-suit-cose-profiles", &error.supported_suit_cose_profiles, &mut parts);
    list("versions", &error.versions, &mut parts);
    reports(&error.suit_reports, keys, &mut parts);
    parts
}

fn err_code(code: ::teep::ErrCode) -> String {
    format!("{} ({})", code.number(Numbering::V26), code.name())
}

fn token(token: Option<&Token>, parts: &mut Vec<Part>) {
    parts.extend(token.map(|token| Part::bytes("token", token.as_bytes())));
}

fn payload(payload: Option<&AttestationPayload<'_>>, keys: &Keyring, parts: &mut Vec<Part>) {
    let Some(payload) = payload else { return };
    let format = payload.format.as_deref().unwrap_or("EAT of the TEEP profile");
    parts.push(Part::group("attestation-payload", format, vec![any(&payload.bytes, keys)]));
}

fn reports(reports: &[Cow<'_, [u8]>], keys: &Keyring, parts: &mut Vec<Part>) {
    for (number, report) in (1..).zip(reports) {
        let inside = suit::report(report, keys).unwrap_or_else(|| any(report, keys));
        parts.push(Part::group(format!("suit-report {number}"), "", vec![inside]));
    }
}

fn properties(properties: &SystemProperties<'_>) -> Part {
    let inside = properties
        .parameters
        .iter()
        .map(|(key, value)| Part::new(format!("parameter {key}"), super::cbor::diagnostic(value)));
    Part::group(named(&properties.component), "", inside.collect())
}

fn requested(wanted: &RequestedTc) -> Part {
    Part::new(named(&wanted.component), format!("{:?}", wanted.present))
}

fn components(name: &str, components: &[ComponentId], parts: &mut Vec<Part>) {
    if !components.is_empty() {
        let inside = components.iter().map(|id| Part::new(named(id), "")).collect();
        parts.push(Part::group(name, "", inside));
    }
}

fn named(id: &ComponentId) -> String {
    component(id.parts().iter().map(Vec::as_slice))
}

fn text(name: &str, text: Option<&::teep::Msg<'_>>, parts: &mut Vec<Part>) {
    parts.extend(text.map(|text| Part::new(name, text.as_str())));
}

fn list<T: std::fmt::Debug>(name: &str, values: &[T], parts: &mut Vec<Part>) {
    if !values.is_empty() {
        parts.push(Part::new(name, format!("{values:?}")));
    }
}

const LEGACY: &str = "numbers of drafts -18 to -25";
