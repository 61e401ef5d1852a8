//! Intel's evidence, recorded from real hardware and made by a vendor of our own, and TEEP
//! evidence over it.

mod hostile;
mod known;
mod made;
mod ra_tls;
mod recorded;
mod renewed;
mod teep;
mod vendor;
