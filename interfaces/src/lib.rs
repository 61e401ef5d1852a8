//! The TEE interfaces of Linux and Gramine as fakes below FUSE, for the tests of the Agent.
//!
//! There is nothing here but tests. They are a package of their own because FUSE would change the
//! features of half of what the Agent is built from.
