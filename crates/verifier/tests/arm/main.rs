//! Arm's evidence: CCA and TrustZone, recorded from real firmware and made by devices of our own.

mod bench;
mod cca;
mod device;
mod huawei;
mod itrustee;
mod optee;
mod psa;
mod vectors;
mod virtcca;
