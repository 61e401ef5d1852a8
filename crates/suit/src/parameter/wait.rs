//! SUIT_Wait_Event (update-management section 4.8): what a device waits for.

use super::VersionMatch;
use crate::cbor::{Reader, each_entry};
use crate::error::{Error, Malformed};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitEvent<'b> {
    /// suit-wait-event-authorization: an update of this priority is allowed.
    Authorization(i64),
    /// suit-wait-event-power: this state of the power supply.
    Power(i64),
    /// suit-wait-event-network: this state of the network.
    Network(i64),
    /// suit-wait-event-other-device-version: another device has a version that compares so.
    OtherDeviceVersion(&'b [u8], Vec<VersionMatch>),
    /// suit-wait-event-time: seconds since 1970.
    Time(u64),
    /// suit-wait-event-time-of-day: seconds since midnight, local time.
    TimeOfDay(u64),
    /// suit-wait-event-day-of-week: days since Sunday, local time.
    DayOfWeek(u64),
    /// suit-wait-event-time-of-day-utc: seconds since midnight.
    TimeOfDayUtc(u64),
    /// suit-wait-event-day-of-week-utc: days since Sunday.
    DayOfWeekUtc(u64),
}

impl<'b> WaitEvent<'b> {
    /// Decodes the content of the parameter wait-info: all events that have to come.
    ///
    /// ```cddl
    /// SUIT_Wait_Event = { + SUIT_Wait_Events }
    /// ```
    pub fn decode(bytes: &'b [u8]) -> Result<Vec<Self>, Error> {
        let mut events = Vec::new();
        each_entry(&mut Reader::open(bytes)?, |key, reader| {
            events.push(Self::read(key, reader)?);
            Ok(())
        })?;
        if events.is_empty() {
            return Err(Malformed::Expected("at least one event").into());
        }
        Ok(events)
    }

    fn read(key: i64, reader: &mut Reader<'b>) -> Result<Self, Malformed> {
        let event = match key {
            1 => Self::Authorization(reader.int()?),
            2 => Self::Power(reader.int()?),
            3 => Self::Network(reader.int()?),
            4 => {
                reader.exact_array(2, "a device and its versions")?;
                let device = reader.bytes()?;
                let length = reader.array()?;
                let versions = (0..length).map(|_| VersionMatch::read(reader));
                Self::OtherDeviceVersion(device, versions.collect::<Result<_, _>>()?)
            }
            5 => Self::Time(reader.uint()?),
            6 => Self::TimeOfDay(reader.uint()?),
            7 => Self::DayOfWeek(reader.uint()?),
            8 => Self::TimeOfDayUtc(reader.uint()?),
            9 => Self::DayOfWeekUtc(reader.uint()?),
            _ => return Err(Malformed::Expected("an event from 1 to 9")),
        };
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameter::Comparison;
    use crate::sample::encoded;

    #[test]
    fn every_event_is_read() {
        let bytes = encoded(|w| {
            w.map(9).int(1).int(-1).int(2).int(0).int(3).int(1);
            w.int(4).array(2).bytes(b"other").array(1).array(2).uint(3).array(1).int(7);
            w.int(5).uint(1 << 40).int(6).uint(3600).int(7).uint(1).int(8).uint(0).int(9).uint(6);
        });
        let version = VersionMatch { comparison: Comparison::Equal, version: vec![7] };

        let events = WaitEvent::decode(&bytes).unwrap();

        assert_eq!(events.len(), 9);
        assert_eq!(events[3], WaitEvent::OtherDeviceVersion(b"other", vec![version]));
        assert_eq!(events[4], WaitEvent::Time(1 << 40));
    }

    #[test]
    fn no_event_and_an_unknown_one_are_malformed() {
        let none = encoded(|w| {
            w.map(0);
        });
        let unknown = encoded(|w| {
            w.map(1).int(10).int(0);
        });

        assert!(WaitEvent::decode(&none).is_err());
        assert!(WaitEvent::decode(&unknown).is_err());
    }
}
