//! Why an image is refused.

/// What is wrong with an image. Every path is as the archive names it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are no tar archive, or one that is cut.
    #[error("the {0} is not a whole tar archive")]
    NotAnArchive(&'static str),
    /// A part of the layout is not the JSON that image-spec defines.
    #[error("the {0} of the image is not what image-spec defines")]
    Json(&'static str),
    /// A part of the layout is not there.
    #[error("the image has no `{0}`")]
    Absent(String),
    /// A blob is not what its descriptor names.
    #[error("the blob `{digest}` is not what its descriptor names")]
    Digest {
        /// The digest of the descriptor.
        digest: String,
    },
    /// A media type that is not taken.
    #[error("the media type `{0}` is not taken")]
    MediaType(String),
    /// The image is for another machine.
    #[error("the image is for `{seen}`, this machine is `{expected}`")]
    Architecture {
        /// This machine.
        expected: String,
        /// The image.
        seen: String,
    },
    /// A path leaves the root, is absolute, or is not text.
    #[error("the path `{0}` leaves the root of the image")]
    Path(String),
    /// A path leads through something that is not a folder.
    #[error("the path `{0}` leads through what is no folder")]
    Through(String),
    /// A link leads out of the root, or is absolute.
    #[error("the link `{path}` leads out of the image, to `{target}`")]
    Link {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A device node, a pipe, or another special file.
    #[error("`{0}` is a special file")]
    Special(String),
    /// A file with the setuid or setgid bit.
    #[error("`{0}` would run with the rights of its owner")]
    SetUid(String),
    /// More entries than allowed.
    #[error("the image has more than {0} entries")]
    Entries(usize),
    /// More bytes than allowed.
    #[error("the image unpacks to more than {0} bytes")]
    Bytes(u64),
    /// A layer is compressed more than allowed.
    #[error("a layer is more than {0} times larger than its compressed form")]
    Ratio(u64),
    /// More layers than allowed.
    #[error("the image has more than {0} layers")]
    Layers(usize),
    /// The configuration names no program.
    #[error("the image names no program to start")]
    NoProgram,
    /// The program is not in the image.
    #[error("the program `{0}` is no file of the image that can be run")]
    Program(String),
}
