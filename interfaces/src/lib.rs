//! What the machine gives, as fakes below FUSE: the TEE interfaces of Linux and Gramine for the
//! tests of the Agent, and a disk that loses what nobody synced for those of the M/OC's store.
//!
//! There is nothing here but tests. They are a package of their own because FUSE would change the
//! features of half of what the Agent is built from.
