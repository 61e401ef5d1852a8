//! Paths for the operator.

use std::sync::Arc;

use api::{DeviceAdded, DeviceView, EnrolmentOpened, PostDevice, PostTenant, TenantAdded};
use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};

use crate::app::Moc;

use super::{
    extract::{Can, DevicesRead, DevicesWrite, Json, Page, Query, TenantsRead, TenantsWrite},
    problem::Refused,
};

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new()
        .route(api::path::TENANTS, post(add_tenant).get(tenants))
        .route(api::path::DEVICES, post(add_device).get(devices))
        .route(api::path::DEVICE, get(device))
        .route(api::path::ENROLMENTS, post(enrol_again))
}

async fn add_tenant(
    _holder: Can<TenantsWrite>,
    State(moc): State<Arc<Moc>>,
    Json(tenant): Json<PostTenant>,
) -> Result<(StatusCode, Answer<TenantAdded>), Refused> {
    let added = moc.add_tenant(&tenant).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}

async fn tenants(
    _holder: Can<TenantsRead>,
    State(moc): State<Arc<Moc>>,
    Query(page): Query<Page>,
) -> Result<Response, Refused> {
    let found = moc.tenants(page.after.as_deref(), page.limit() + 1).await?;
    Ok(page.of(api::path::TENANTS, found, |tenant| &tenant.name))
}

async fn add_device(
    _holder: Can<DevicesWrite>,
    State(moc): State<Arc<Moc>>,
    Json(device): Json<PostDevice>,
) -> Result<(StatusCode, Answer<DeviceAdded>), Refused> {
    let added = moc.add_device(&device).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}

async fn enrol_again(
    _holder: Can<DevicesWrite>,
    State(moc): State<Arc<Moc>>,
    Path(device): Path<String>,
) -> Result<(StatusCode, Answer<EnrolmentOpened>), Refused> {
    let opened = moc.enrol_again(&device).await?;
    Ok((StatusCode::CREATED, Answer(opened)))
}

async fn devices(
    _holder: Can<DevicesRead>,
    State(moc): State<Arc<Moc>>,
    Query(page): Query<Page>,
) -> Result<Response, Refused> {
    let found = moc.devices(page.after.as_deref(), page.limit() + 1).await?;
    Ok(page.of(api::path::DEVICES, found, |device| &device.device))
}

async fn device(
    _holder: Can<DevicesRead>,
    State(moc): State<Arc<Moc>>,
    Path(device): Path<String>,
) -> Result<Answer<DeviceView>, Refused> {
    Ok(Answer(moc.device(&device).await?))
}
