//! Paths for the operator.

use std::sync::Arc;

use api::{DeviceAdded, DeviceView, EnrolmentOpened, PostDevice, PostTenant, TenantAdded};
use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};

use crate::app::Moc;

use super::{
    extract::{Json, Operator},
    problem::Refused,
};

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new()
        .route(api::path::TENANTS, post(add_tenant))
        .route(api::path::DEVICES, post(add_device).get(devices))
        .route(api::path::DEVICE, get(device))
        .route(api::path::ENROLMENTS, post(enrol_again))
}

async fn add_tenant(
    _operator: Operator,
    State(moc): State<Arc<Moc>>,
    Json(tenant): Json<PostTenant>,
) -> Result<(StatusCode, Answer<TenantAdded>), Refused> {
    let added = moc.add_tenant(&tenant).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}

async fn add_device(
    _operator: Operator,
    State(moc): State<Arc<Moc>>,
    Json(device): Json<PostDevice>,
) -> Result<(StatusCode, Answer<DeviceAdded>), Refused> {
    let added = moc.add_device(&device).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}

async fn enrol_again(
    _operator: Operator,
    State(moc): State<Arc<Moc>>,
    Path(device): Path<String>,
) -> Result<(StatusCode, Answer<EnrolmentOpened>), Refused> {
    let opened = moc.enrol_again(&device).await?;
    Ok((StatusCode::CREATED, Answer(opened)))
}

async fn devices(
    _operator: Operator,
    State(moc): State<Arc<Moc>>,
) -> Result<Answer<Vec<DeviceView>>, Refused> {
    Ok(Answer(moc.devices().await?))
}

async fn device(
    _operator: Operator,
    State(moc): State<Arc<Moc>>,
    Path(device): Path<String>,
) -> Result<Answer<DeviceView>, Refused> {
    Ok(Answer(moc.device(&device).await?))
}
