//! Why bytes were not understood: a bounded list, counted. A problem never stops what comes after
//! it.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a datagram, a set or a record was not decoded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The label in metrics and in `gannet decode`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Reason::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// Fewer bytes than the header of the version it names.
    ShortHeader = "short header",
    /// None of 5, 9 and 10.
    Version = "unknown version",
    /// A v5 count or an IPFIX length beyond the end of the datagram; what is there was decoded.
    Truncated = "truncated",
    /// Bytes behind what the header announces.
    Trailing = "trailing bytes",
    /// A set length below 4 or past the end: the rest of the datagram cannot be found.
    SetLength = "bad set length",
    /// A set id that no version defines (RFC 7011 §3.3.2).
    ReservedSet = "reserved set id",
    /// A template that runs past its set.
    TemplateSyntax = "bad template",
    /// A template id below 256.
    TemplateId = "bad template id",
    /// More fields than the limit, or records longer than a datagram can be.
    TemplateTooLarge = "template too large",
    /// The exporter has more templates than the limit; the one longest unused made room.
    TemplateEvicted = "template evicted",
    /// All exporters together have more templates than the limit.
    TemplatesFull = "templates full",
    /// Data for a template whose records have no length.
    EmptyTemplate = "template of no length",
    /// A record that runs past its set.
    RecordTruncated = "record past the set",
    /// More exporters than the limit.
    ExportersFull = "exporters full",
    /// More observation domains at one exporter than the limit.
    DomainsFull = "domains full",
    /// More samplers at one observation domain than the limit.
    SamplersFull = "samplers full",
    /// No room to wait for a template.
    WaitingFull = "waiting full",
    /// The template did not come in time.
    WaitingExpired = "waiting expired",
}

/// How often each reason was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems([u64; Reason::ALL.len()]);

// === impl Problems ===

impl Problems {
    pub fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }

    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Reasons met, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        let all = Reason::ALL.iter().map(|&reason| (reason, self.get(reason)));
        all.filter(|&(_, count)| count > 0)
    }
}
