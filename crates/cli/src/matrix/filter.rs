//! Which rows are wanted.

use std::str::FromStr;

use stage::Flow;

/// Conditions that all have to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Vec<(Key, Vec<String>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Case,
    Hardware,
    Instance,
    Ua,
}

impl Filter {
    pub(crate) fn takes(&self, flow: &Flow) -> bool {
        self.0.iter().all(|(key, values)| {
            let seen = match key {
                Key::Case => flow.case.to_string(),
                Key::Hardware => flow.hardware.clone(),
                Key::Instance => flow.instance.as_str().to_owned(),
                Key::Ua => if flow.with_ua { "yes" } else { "no" }.to_owned(),
            };
            values.iter().any(|value| value.eq_ignore_ascii_case(&seen))
        })
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let conditions = text.split(',').map(str::trim).filter(|condition| !condition.is_empty());
        let read = |condition: &str| {
            let (key, values) = condition
                .split_once('=')
                .ok_or_else(|| format!("`{condition}` is not KEY=VALUE"))?;
            let key = match key.trim() {
                "case" => Key::Case,
                "hardware" => Key::Hardware,
                "instance" => Key::Instance,
                "ua" => Key::Ua,
                other => {
                    return Err(format!("`{other}` is not one of case, hardware, instance, ua"));
                }
            };
            Ok((key, values.split('|').map(|value| value.trim().to_owned()).collect()))
        };
        conditions.map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_the_rows_that_meet_all_of_its_conditions() {
        for (text, count) in [
            ("", 70),
            ("case=3,hardware=SGX,instance=process", 2),
            ("hardware=SGX|TrustZone", 28),
            ("hardware=sgx|trustzone,ua=no", 8),
            ("case=1,instance=vm", 3),
            ("case=9", 0),
        ] {
            let filter: Filter = text.parse().unwrap();
            let taken = stage::flows().into_iter().filter(|flow| filter.takes(flow)).count();
            assert_eq!(taken, count, "{text}");
        }
        assert_eq!("case".parse::<Filter>().unwrap_err(), "`case` is not KEY=VALUE");
        let unknown = "colour=red".parse::<Filter>().unwrap_err();
        assert_eq!(unknown, "`colour` is not one of case, hardware, instance, ua");
    }
}
