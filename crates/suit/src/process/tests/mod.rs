mod commands;
mod dependencies;
mod procedure;
mod properties;
mod setup;
mod update_management;
