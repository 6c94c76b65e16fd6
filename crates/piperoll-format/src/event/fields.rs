//! The fields of an event, as data. The numbers are those of `proto/piperoll/v1/event.proto`, for ever.

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// The number of an enum's value.
    Enum,
    /// An unsigned number.
    Number,
    /// Bytes that are no text.
    Bytes,
    /// A `google.protobuf.Timestamp`.
    Time,
    /// Repeated text.
    Texts,
    /// Repeated `Artifact`.
    Artifacts,
    /// Repeated `Attestation`.
    Attestations,
    /// Repeated `Link`.
    Links,
    /// Map of text to text.
    Map,
}

/// How a segment's index finds a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexed {
    /// Not at all: the event is read.
    No,
    /// By a bitmap for each value.
    Bitmap,
    /// By the hash of the exact value.
    Exact,
    /// By a column of times.
    Range,
}

macro_rules! fields {
    ($($number:literal $variant:ident $name:literal $kind:ident $indexed:ident $doc:literal;)*) => {
        /// A field of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Field {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl Field {
            /// Every field, by ascending number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The field's number on the wire.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The field's name in proto, filters and answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How its value is written.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            /// How the index finds it.
            pub const fn indexed(self) -> Indexed {
                match self { $(Self::$variant => Indexed::$indexed,)* }
            }

            /// The field with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The field with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    1 Id "id" Text Exact "The producer's own id.";
    2 Source "source" Text Bitmap "The producer instance.";
    3 Time "time" Time Range "When, as the source claims.";
    4 Actor "actor" Text Bitmap "Who acted.";
    5 Action "action" Text Bitmap "What was done.";
    6 Stage "stage" Text Bitmap "Part of the pipeline.";
    7 Outcome "outcome" Enum Bitmap "How it ended.";
    8 Pipeline "pipeline" Text Bitmap "The pipeline.";
    9 Run "run" Text Exact "The pipeline's run.";
    10 Job "job" Text Exact "The job within the run.";
    11 Repo "repo" Text Bitmap "The repository.";
    12 Ref "ref" Text Exact "The git reference.";
    13 Commit "commit" Text Exact "The commit.";
    14 Artifacts "artifacts" Artifacts Exact "What it was done to.";
    15 Attributes "attributes" Map Exact "Whatever has no field of its own.";
    16 ActorName "actor_name" Text No "The actor's name for people.";
    17 ActorType "actor_type" Enum Bitmap "What kind of actor.";
    18 OnBehalfOf "on_behalf_of" Text Bitmap "The human behind the actor.";
    19 AuthMethod "auth_method" Enum Bitmap "How the actor had authenticated.";
    20 Credential "credential" Text Exact "Id or hash of the credential.";
    21 Reason "reason" Text No "Message, ticket, justification.";
    22 RunAttempt "run_attempt" Number Exact "Attempt of the run.";
    23 Step "step" Text Exact "The step within the job.";
    24 Trigger "trigger" Text Bitmap "What set the run off.";
    25 Change "change" Text Exact "The pull or merge request.";
    26 Environment "environment" Text Bitmap "Where it was deployed.";
    27 Address "address" Text Exact "Network address it came from.";
    28 UserAgent "user_agent" Text No "The program that the actor used.";
    29 Runner "runner" Text Exact "The machine it ran on.";
    30 RunnerLabels "runner_labels" Texts Exact "Labels that the runner was chosen by.";
    31 Attestations "attestations" Attestations Exact "Attestations made or checked.";
    32 TraceId "trace_id" Bytes Exact "W3C trace id.";
    33 SpanId "span_id" Bytes Exact "W3C span id.";
    34 Links "links" Links Exact "Causes and relations.";
    35 SourceEpoch "source_epoch" Number No "The source's counting period.";
    36 SourceSequence "source_sequence" Number No "The source's number in it.";
    37 OriginalSchema "original_schema" Text No "Vocabulary of the original.";
    38 Original "original" Bytes No "The original payload.";
    39 OriginalDigest "original_digest" Text No "Digest of the original payload.";
}

/// Fields of an event, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u64);

const _: () = assert!(Field::ALL.len() < 64);

impl FieldSet {
    /// Whether it has the field.
    pub const fn has(self, field: Field) -> bool {
        self.0 >> field.number() & 1 == 1
    }

    /// Those of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn insert(&mut self, field: Field) {
        self.0 |= 1 << field.number();
    }
}

impl Field {
    /// The names of the values of an enum field, by ascending number from 0, as filters and answers write
    /// them; empty for every other field.
    pub const fn enum_names(self) -> &'static [&'static str] {
        match self {
            Self::Outcome => {
                &["unspecified", "success", "failure", "error", "timeout", "cancelled", "skipped", "denied"]
            }
            Self::ActorType => &["unspecified", "human", "bot", "service", "agent", "system"],
            Self::AuthMethod => &[
                "unspecified",
                "session",
                "personal_token",
                "oauth",
                "app",
                "oidc",
                "ssh_key",
                "deploy_key",
                "job_token",
                "mtls",
            ],
            _ => &[],
        }
    }
}
