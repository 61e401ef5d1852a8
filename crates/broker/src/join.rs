//! Joining a Network M/OC: a join token, which counts once, becomes the device's own token.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use api::{DeviceAdded, PostJoin, Problem};

use crate::{
    config::Config,
    tam::{built, checked, client, limited},
};

/// Joins as the device of the settings, and keeps its token where they say.
///
/// # Errors
/// There is a token already, the M/OC refuses, or it knows the device by another name. Nothing is
/// left behind unless the device has joined.
pub async fn join(config: &Config, token: &str, hardware_id: &str) -> Result<()> {
    let path = &config.token_file;
    // The file comes first: a token that cannot be kept would be lost, and it is told once.
    let mut file = made(path)?;
    match asked(config, token, hardware_id).await {
        Err(error) => {
            drop(file);
            std::fs::remove_file(path)
                .with_context(|| format!("removing the empty {}", path.display()))?;
            Err(error)
        }
        Ok(added) => {
            file.write_all(added.token.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("writing the device token {}", path.display()))?;
            ensure!(
                added.device == config.device,
                "the Network M/OC knows this device as `{}`: set `device` in the settings so",
                added.device
            );
            Ok(())
        }
    }
}

fn made(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("making the device token {}", path.display()))
}

async fn asked(config: &Config, token: &str, hardware_id: &str) -> Result<DeviceAdded> {
    let http = built(client(config.roots()?.as_deref())?.timeout(ANSWER_WITHIN))?;
    let url = checked(&format!("{}{}", config.moc, api::path::JOINS))?;
    let join = PostJoin { token: token.to_owned(), hardware_id: hardware_id.to_owned() };
    let response = http.post(url).json(&join).send().await.context("asking the Network M/OC")?;
    let status = response.status();
    let body = limited(response, ANSWER_BYTES_MAX).await?;
    if status.is_success() {
        return serde_json::from_slice(&body).context("reading what the Network M/OC answered");
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => bail!("the Network M/OC refused: {problem}"),
        Err(_) => bail!("the Network M/OC answered {status}"),
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
