//! SUIT_Text_Map (suit-manifest section 8.4.4): words for people, never input to a decision.

use std::collections::BTreeMap;
use std::fmt;

use crate::cbor::{Kind, Reader, Writer, each_entry};
use crate::component::ComponentId;
use crate::error::{Error, Malformed};

/// The text of a manifest by language tag.
///
/// ```cddl
/// SUIT_Text_Map = { + tag38-ltag => SUIT_Text_LMap }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'b> {
    languages: BTreeMap<&'b str, Language<'b>>,
}

/// The text in one language.
///
/// ```cddl
/// SUIT_Text_LMap = { SUIT_Text_Keys, * SUIT_Component_Identifier => { SUIT_Text_Component_Keys } }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Language<'b> {
    /// Texts about the manifest, by key (1 manifest description, 2 update description, 3 JSON
    /// source, 4 YAML source).
    pub manifest: BTreeMap<i64, &'b str>,
    /// Texts about components, by key (1 vendor name, 2 model name, 3 vendor domain, 4 model
    /// info, 5 description, 6 version, 7 version required, 8 current version).
    pub components: BTreeMap<ComponentId, BTreeMap<i64, &'b str>>,
}

impl<'b> Text<'b> {
    /// The languages.
    pub fn languages(&self) -> &BTreeMap<&'b str, Language<'b>> {
        &self.languages
    }

    //= suit 13.16 (M): Component ids in text must be in common. M 8.4.4
    /// Decodes the content of the member, whose components have to be among `components`.
    pub(crate) fn decode(bytes: &'b [u8], components: &[ComponentId]) -> Result<Self, Error> {
        let mut reader = Reader::open(bytes)?;
        let mut languages = BTreeMap::new();
        for _ in 0..reader.map()? {
            let tag = reader.text()?;
            languages.insert(tag, Language::read(&mut reader, components)?);
        }
        if languages.is_empty() {
            return Err(Malformed::Expected("at least one language").into());
        }
        Ok(Self { languages })
    }

    /// Encodes texts.
    pub fn encode(languages: &BTreeMap<&str, Language<'_>>) -> Vec<u8> {
        let entries = languages.iter().map(|(tag, language)| {
            let key = Writer::collect(|w| {
                w.text(tag);
            });
            (key, Writer::collect(|w| language.write(w)))
        });
        let entries = entries.collect();
        Writer::collect(|w| {
            w.sorted_map(entries);
        })
    }
}

impl<'b> Language<'b> {
    fn read(reader: &mut Reader<'b>, components: &[ComponentId]) -> Result<Self, Error> {
        let mut language = Self::default();
        for _ in 0..reader.map()? {
            if reader.kind()? == Kind::Array {
                let component = ComponentId::read(reader)?;
                if !components.contains(&component) {
                    return Err(Malformed::TextComponent(component).into());
                }
                language.components.insert(component, read_texts(reader)?);
            } else {
                let key = reader.int()?;
                language.manifest.insert(key, reader.text()?);
            }
        }
        Ok(language)
    }

    fn write(&self, w: &mut Writer) {
        let own = self.manifest.iter().map(|(key, text)| {
            let value = Writer::collect(|w| {
                w.text(text);
            });
            (crate::cbor::int_key(*key), value)
        });
        let parts = self.components.iter().map(|(component, texts)| {
            let value = Writer::collect(|w| {
                w.map(texts.len());
                for (key, text) in texts {
                    w.int(*key).text(text);
                }
            });
            (component.encode(), value)
        });
        w.sorted_map(own.chain(parts).collect());
    }
}

fn read_texts<'b>(reader: &mut Reader<'b>) -> Result<BTreeMap<i64, &'b str>, Error> {
    let mut texts = BTreeMap::new();
    each_entry(reader, |key, reader| {
        texts.insert(key, reader.text()?);
        Ok(())
    })?;
    Ok(texts)
}

//= suit 13.107 (M): Rendered text is escaped. U 3.3, 8
/// Shows text of a manifest to people: control characters and those that turn the direction of
/// reading are written as escapes, and quotes and angle brackets cannot end what surrounds them.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' | ' ' => write!(f, "{character}")?,
                '"' | '\'' | '<' | '>' | '&' | '\\' => {
                    write!(f, "{}", character.escape_unicode())?;
                }
                // Marks and overrides of direction, joiners and the byte order mark.
                '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}' => write!(f, "{}", character.escape_unicode())?,
                character if character.is_control() => {
                    write!(f, "{}", character.escape_unicode())?;
                }
                character => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

/// Keys of texts about the manifest.
pub mod manifest_key {
    /// suit-text-manifest-description
    pub const DESCRIPTION: i64 = 1;
    /// suit-text-update-description
    pub const UPDATE_DESCRIPTION: i64 = 2;
}

/// Keys of texts about a component.
pub mod component_key {
    /// suit-text-vendor-name
    pub const VENDOR_NAME: i64 = 1;
    /// suit-text-model-name
    pub const MODEL_NAME: i64 = 2;
    /// suit-text-vendor-domain
    pub const VENDOR_DOMAIN: i64 = 3;
    /// suit-text-model-info
    pub const MODEL_INFO: i64 = 4;
    /// suit-text-component-description
    pub const DESCRIPTION: i64 = 5;
    /// suit-text-component-version
    pub const VERSION: i64 = 6;
}

#[cfg(test)]
mod tests {
    use super::*;

    //= suit 13.107 (M): Rendered text is escaped. U 3.3, 8
    #[test]
    fn shown_text_has_no_markup_no_control_and_no_turned_direction() {
        let hostile = "<b>\u{202e}\u{7}\u{1b}[2J\"'&\\ ok ä\n";

        let shown = Escaped(hostile).to_string();

        assert_eq!(
            shown,
            "\\u{3c}b\\u{3e}\\u{202e}\\u{7}\\u{1b}[2J\\u{22}\\u{27}\\u{26}\\u{5c} ok ä\n"
        );
    }

    //= suit 13.16 (M): Component ids in text must be in common. M 8.4.4
    #[test]
    fn text_about_a_component_that_common_does_not_have_is_malformed() {
        let [known, unknown] = ["a", "b"].map(|name| ComponentId::new([name]).unwrap());
        let words = BTreeMap::from([(component_key::DESCRIPTION, "words")]);
        let components = BTreeMap::from([(unknown.clone(), words)]);
        let language = Language { manifest: BTreeMap::new(), components };
        let encoded = Text::encode(&BTreeMap::from([("en", language)]));

        assert_eq!(
            Text::decode(&encoded, &[known]),
            Err(Malformed::TextComponent(unknown.clone()).into())
        );
        assert!(Text::decode(&encoded, &[unknown]).is_ok());
    }
}
