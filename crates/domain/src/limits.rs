//! Every bound on what comes from outside, in one place.
//!
//! A limit's unit ends its name. Whoever enforces one names it in the refusal.

/// Longest document id, in bytes.
pub const DOCUMENT_ID_BYTES_MAX: usize = 512;
/// Longest tenant, user, group or key name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest tenant id, in bytes.
pub const TENANT_ID_BYTES_MAX: usize = 48;
/// Largest body of a document write, in bytes.
pub const DOCUMENT_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest file of a format that is not text, in bytes: pictures in it are not kept, only its text is.
pub const DOCUMENT_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest time that reading one document may need of a processor, in seconds.
pub const READER_PROCESSOR_S_MAX: u64 = 30;
/// Longest time that reading one document may take, in seconds.
pub const READER_WALL_S_MAX: u64 = 60;
/// Most memory that reading one document may need, in bytes.
pub const READER_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most that an archive may unpack to, in bytes.
pub const ARCHIVE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most bytes that one byte of an archive may unpack to.
pub const ARCHIVE_RATIO_MAX: u64 = 100;
/// Most files in an archive.
pub const ARCHIVE_ENTRIES_MAX: usize = 10_000;
/// Most XML elements inside one another.
pub const XML_DEPTH_MAX: usize = 256;
/// Most attributes of an XML element.
pub const XML_ATTRIBUTES_MAX: usize = 1_024;
/// Most HTML elements inside one another.
pub const HTML_DEPTH_MAX: usize = 512;
/// Most lists and objects of JSON inside one another.
pub const JSON_DEPTH_MAX: usize = 64;
/// Most pages of a document.
pub const PAGES_MAX: usize = 5_000;
/// Most mails inside one another.
pub const MAIL_DEPTH_MAX: usize = 4;
/// Most attachments of a mail.
pub const ATTACHMENTS_MAX: usize = 256;
/// Most places that are kept of where a text comes from.
pub const PLACES_MAX: usize = 65_536;
/// Largest body of any other request, in bytes.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;
/// Most distinct terms of a query that the lexical arm looks up.
pub const QUERY_TERMS_MAX: usize = 64;
/// Most phrases of a query.
pub const QUERY_PHRASES_MAX: usize = 8;
/// Most words of a phrase.
pub const QUERY_PHRASE_WORDS_MAX: usize = 16;
/// Most prefixes of a query.
pub const QUERY_PREFIXES_MAX: usize = 8;
/// Fewest letters of a prefix: one letter begins a good part of all words.
pub const QUERY_PREFIX_CHARS_MIN: usize = 2;
/// Most passages a search may ask for.
pub const TOP_K_MAX: usize = 100;
/// Largest token budget of a context.
pub const BUDGET_TOKENS_MAX: usize = 200_000;
/// Most entries on either side of an ACL.
pub const ACL_ENTRIES_MAX: usize = 256;
/// What is kept of the reason why an ACL is unknown, in bytes; the rest is cut.
pub const ACL_UNKNOWN_BYTES_MAX: usize = 512;
/// Most attributes of a document.
pub const ATTRIBUTES_MAX: usize = 64;
/// Longest attribute name or value, and longest title or URI, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// Most items of an attribute that is a list.
pub const ATTRIBUTE_ITEMS_MAX: usize = 64;
/// Longest attribute that is a list, all its items together, in bytes.
pub const ATTRIBUTE_LIST_BYTES_MAX: usize = 4 * 1024;
/// Most clauses of a filter, those inside others included.
pub const FILTER_CLAUSES_MAX: usize = 64;
/// Most clauses of a filter inside one another.
pub const FILTER_DEPTH_MAX: usize = 8;
/// Most values of a filter, sources included.
pub const FILTER_VALUES_MAX: usize = 1_024;
/// Most members of a group.
pub const GROUP_MEMBERS_MAX: usize = 10_000;
/// Most groups inside one another, from the innermost to the outermost.
pub const GROUPS_DEPTH_MAX: usize = 16;
/// Most labels of a tenant.
pub const LABELS_MAX: usize = 32;
/// Longest time for which a key that was replaced opens on, in seconds: 30 days.
pub const KEY_OVERLAP_S_MAX: u64 = 30 * 24 * 60 * 60;
/// Longest access token of an identity provider, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Most groups named by one credential or one request.
pub const GROUPS_PER_PRINCIPAL_MAX: usize = 256;
/// Most items of one page of a list.
pub const PAGE_ITEMS_MAX: usize = 500;
/// Most citations of one verification request.
pub const CITATIONS_PER_VERIFY_MAX: usize = 200;
/// Longest time that a read waits for a sequence number, in milliseconds.
pub const MIN_SEQ_WAIT_MS: u64 = 5_000;
/// Most jobs of a tenant that wait or run.
pub const JOBS_WAITING_MAX: u64 = 2_000;
/// Most jobs of a tenant that are over and still listed.
pub const JOBS_KEPT_MAX: u64 = 1_000;
/// Longest text of what a job is to do, of its plan and of its checkpoint, in bytes.
pub const JOB_SPEC_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most runs in a row that may be cut off before a job gets any further. The next worker ends it as failed, so that a
/// job that kills whoever runs it does not do so for ever.
pub const JOB_RUNS_WITHOUT_PROGRESS_MAX: u32 = 5;
/// Most documents that a job lists as failed; those beyond are counted.
pub const JOB_FAILURES_MAX: u64 = 10_000;
/// How long an import's failed documents are kept to be tried again, in days.
pub const JOB_ITEMS_KEPT_DAYS: i64 = 7;
/// Largest body of an import, in bytes.
pub const IMPORT_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most lines of an import.
pub const IMPORT_LINES_MAX: usize = 50_000;
/// Most bytes of imports of a tenant that wait or run, compressed.
pub const IMPORTS_WAITING_BYTES_MAX: u64 = 1 << 30;
/// Most documents that one request may purge.
pub const PURGE_DOCUMENTS_MAX: usize = 10_000;
/// Most places of one document: pages, slides, stretches of rows, parts.
pub const PLACES_PER_DOCUMENT_MAX: usize = 50_000;
/// Longest name of a sheet or a part that is kept, in bytes; the rest is cut.
pub const PLACE_NAME_BYTES_MAX: usize = 200;
/// Fewest and most tokens that a tenant may have its chunks filled up to.
pub const CHUNK_TARGET_TOKENS: std::ops::RangeInclusive<u32> = 32..=2_048;
/// Most sources of a tenant whose documents are cut in a way of their own.
pub const CHUNKING_SOURCES_MAX: usize = 64;
/// Most chunks of one document.
pub const CHUNKS_PER_DOCUMENT_MAX: usize = 20_000;
/// Longest chunk, in bytes: the second bound beside the model's tokens, for text whose words a tokenizer cannot split.
pub const CHUNK_BYTES_MAX: usize = 4 * 1024;
/// Longest name that a caller gives to a request, in bytes.
pub const REQUEST_KEY_BYTES_MAX: usize = 255;
/// Most answers that a tenant's named requests keep.
pub const ANSWERS_KEPT_MAX: u64 = 10_000;
/// How long such an answer is kept, in hours.
pub const ANSWERS_KEPT_HOURS: i64 = 24;
/// Most submissions of a tenant that the firewall keeps back.
pub const QUARANTINED_MAX: u64 = 10_000;
/// Most bytes of them, all together.
pub const QUARANTINED_BYTES_MAX: u64 = 1 << 30;
