//! Which member of a payload is which field, kind by kind.
//!
//! A path that starts with `/` is a JSON pointer and the first that is there is taken; any other is a word that
//! stands for itself. A path may hold for one `action` only (see [`ByVerb`]): a time or an outcome is taken only
//! where it is that of the deed. What a kind's row does not name is in the attributes.

use super::{payload::Payload, special, words::ByVerb};
use piperoll_proto::v1::Event;

type Paths = &'static [&'static str];

/// One kind's row.
pub(crate) struct Kind {
    /// As `X-GitHub-Event` has it; empty for kinds that are not known.
    pub(crate) name: &'static str,
    /// What stands after the kind in `action`.
    pub(crate) verb: Paths,
    /// The account that acted, where there is no sender.
    pub(crate) actor: Paths,
    /// Accounts, one of whom a bot acts for.
    pub(crate) people: Paths,
    pub(crate) stage: Paths,
    pub(crate) outcome: ByVerb,
    pub(crate) reason: Paths,
    pub(crate) trigger: Paths,
    pub(crate) pipeline: Paths,
    pub(crate) run: Paths,
    pub(crate) attempt: Paths,
    pub(crate) job: Paths,
    pub(crate) reference: Paths,
    pub(crate) commit: Paths,
    pub(crate) change: Paths,
    pub(crate) environment: Paths,
    pub(crate) runner: Paths,
    pub(crate) labels: Paths,
    pub(crate) time: ByVerb,
    /// What no path can say.
    pub(crate) also: fn(&mut Payload<'_>, &mut Event),
}

/// Who and what, and nothing else that could be wrong: what a kind starts from that is not known.
const BASE: Kind = Kind {
    name: "",
    verb: &["/action"],
    actor: &[],
    people: &["/requester"],
    stage: &[],
    outcome: &[],
    reason: &[],
    trigger: &[],
    pipeline: &[],
    run: &[],
    attempt: &[],
    job: &[],
    reference: &[],
    commit: &[],
    change: &[],
    environment: &[],
    runner: &[],
    labels: &[],
    time: &[],
    also: special::nothing,
};

/// The row of a kind.
pub(crate) fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap_or(&BASE)
}

/// A pull request and what is said in it.
const PULL_REQUEST: Kind = Kind {
    people: &["/pull_request/auto_merge/enabled_by"],
    reference: &["/pull_request/head/ref"],
    commit: &["/pull_request/head/sha"],
    change: &["/pull_request/number", "/number"],
    ..BASE
};

/// A deployment and what is said about it.
const DEPLOYMENT: Kind = Kind {
    people: &["/workflow_run/triggering_actor", "/workflow_run/actor", "/deployment/creator"],
    stage: &["deploy"],
    trigger: &["/workflow_run/event"],
    pipeline: &["/workflow/name", "/workflow_run/name"],
    run: &["/workflow_run/id"],
    attempt: &["/workflow_run/run_attempt"],
    reference: &["/deployment/ref", "/workflow_run/head_branch"],
    commit: &["/deployment/sha", "/workflow_run/head_sha"],
    change: &["/workflow_run/pull_requests/0/number", "/pull_requests/0/number"],
    environment: &["/deployment_status/environment", "/deployment/environment", "/environment"],
    also: special::deployment,
    ..BASE
};

const KINDS: &[Kind] = &[
    Kind {
        name: "branch_protection_rule",
        time: &[("created", "/rule/created_at"), ("edited", "/rule/updated_at")],
        ..BASE
    },
    Kind {
        name: "check_run",
        stage: &["/check_run/name"],
        outcome: &[("completed", "/check_run/conclusion")],
        reason: &["/check_run/output/title"],
        pipeline: &["/check_run/app/slug", "/check_run/app/name"],
        job: &["/check_run/id"],
        reference: &["/check_run/check_suite/head_branch"],
        commit: &["/check_run/head_sha"],
        change: &["/check_run/pull_requests/0/number"],
        environment: &["/check_run/deployment/environment"],
        time: &[("completed", "/check_run/completed_at"), ("created", "/check_run/started_at")],
        also: special::check_run,
        ..BASE
    },
    Kind {
        name: "check_suite",
        outcome: &[("completed", "/check_suite/conclusion")],
        pipeline: &["/check_suite/app/slug", "/check_suite/app/name"],
        run: &["/check_suite/id"],
        reference: &["/check_suite/head_branch"],
        commit: &["/check_suite/head_sha"],
        change: &["/check_suite/pull_requests/0/number"],
        time: &[("requested", "/check_suite/created_at"), ("", "/check_suite/updated_at")],
        also: special::check_suite,
        ..BASE
    },
    Kind {
        name: "code_scanning_alert",
        stage: &["scan"],
        reason: &["/alert/dismissed_comment", "/alert/dismissed_reason"],
        reference: &["/ref"],
        commit: &["/commit_oid"],
        time: &[
            ("created", "/alert/created_at"),
            ("fixed", "/alert/fixed_at"),
            ("closed_by_user", "/alert/dismissed_at"),
            ("", "/alert/updated_at"),
        ],
        ..BASE
    },
    Kind {
        name: "commit_comment",
        commit: &["/comment/commit_id"],
        time: &[("created", "/comment/created_at")],
        ..BASE
    },
    Kind {
        name: "create",
        verb: &["/ref_type"],
        reference: &["/ref"],
        time: &[("", "/repository/pushed_at")],
        also: special::reference,
        ..BASE
    },
    Kind {
        name: "delete",
        verb: &["/ref_type"],
        reference: &["/ref"],
        time: &[("", "/repository/pushed_at")],
        also: special::reference,
        ..BASE
    },
    Kind {
        name: "dependabot_alert",
        stage: &["scan"],
        reason: &["/alert/dismissed_comment", "/alert/dismissed_reason"],
        time: &[
            ("created", "/alert/created_at"),
            ("fixed", "/alert/fixed_at"),
            ("dismissed", "/alert/dismissed_at"),
            ("auto_dismissed", "/alert/auto_dismissed_at"),
            ("", "/alert/updated_at"),
        ],
        ..BASE
    },
    Kind { name: "deploy_key", time: &[("created", "/key/created_at")], ..BASE },
    Kind {
        name: "deployment",
        reason: &["/deployment/description"],
        time: &[("", "/deployment/created_at")],
        ..DEPLOYMENT
    },
    Kind {
        name: "deployment_protection_rule",
        actor: &["/deployment/creator"],
        trigger: &["/event"],
        reference: &["/deployment/ref", "/ref"],
        commit: &["/deployment/sha", "/sha"],
        environment: &["/environment", "/deployment/environment"],
        time: &[("", "/deployment/updated_at"), ("", "/deployment/created_at")],
        also: special::protection_rule,
        ..DEPLOYMENT
    },
    Kind {
        name: "deployment_review",
        actor: &["/approver", "/requestor"],
        reason: &["/comment"],
        job: &["/workflow_job_run/id", "/workflow_job_runs/0/id"],
        environment: &["/environment", "/workflow_job_run/environment", "/workflow_job_runs/0/environment"],
        time: &[("requested", "/since")],
        also: special::deployment_review,
        ..DEPLOYMENT
    },
    Kind {
        name: "deployment_status",
        job: &["/check_run/id"],
        outcome: &[("", "/deployment_status/state")],
        reason: &["/deployment_status/description"],
        time: &[("", "/deployment_status/created_at")],
        ..DEPLOYMENT
    },
    Kind {
        name: "discussion",
        time: &[
            ("created", "/discussion/created_at"),
            ("answered", "/discussion/answer_chosen_at"),
            ("deleted", ""),
            ("", "/discussion/updated_at"),
        ],
        ..BASE
    },
    Kind {
        name: "discussion_comment",
        time: &[("created", "/comment/created_at"), ("edited", "/comment/updated_at")],
        ..BASE
    },
    Kind { name: "fork", time: &[("", "/forkee/created_at")], ..BASE },
    Kind {
        name: "installation",
        time: &[
            ("created", "/installation/created_at"),
            ("suspend", "/installation/suspended_at"),
            ("deleted", ""),
            ("", "/installation/updated_at"),
        ],
        ..BASE
    },
    Kind { name: "installation_repositories", time: &[("", "/installation/updated_at")], ..BASE },
    Kind {
        name: "issue_comment",
        time: &[("created", "/comment/created_at"), ("edited", "/comment/updated_at")],
        also: special::issue,
        ..BASE
    },
    Kind {
        name: "issues",
        time: &[
            ("opened", "/issue/created_at"),
            ("closed", "/issue/closed_at"),
            ("deleted", ""),
            ("pinned", ""),
            ("unpinned", ""),
            ("", "/issue/updated_at"),
        ],
        also: special::issue,
        ..BASE
    },
    Kind { name: "marketplace_purchase", time: &[("", "/effective_date")], ..BASE },
    Kind {
        name: "merge_group",
        reason: &["/reason"],
        reference: &["/merge_group/head_ref"],
        commit: &["/merge_group/head_sha"],
        time: &[("checks_requested", "/merge_group/head_commit/timestamp")],
        ..BASE
    },
    Kind {
        name: "milestone",
        time: &[
            ("created", "/milestone/created_at"),
            ("closed", "/milestone/closed_at"),
            ("deleted", ""),
            ("", "/milestone/updated_at"),
        ],
        ..BASE
    },
    Kind {
        name: "package",
        stage: &["publish"],
        commit: &["/package/package_version/container_metadata/labels/revision"],
        time: &[
            ("published", "/package/package_version/created_at"),
            // GitHub may send the year 1 for a version's times.
            ("", "/package/package_version/updated_at"),
            ("", "/package/updated_at"),
        ],
        also: special::package,
        ..BASE
    },
    Kind {
        name: "page_build",
        stage: &["build"],
        actor: &["/build/pusher"],
        people: &["/build/pusher"],
        outcome: &[("", "/build/status")],
        reason: &["/build/error/message"],
        pipeline: &["pages"],
        run: &["/id"],
        commit: &["/build/commit"],
        time: &[("", "/build/updated_at")],
        ..BASE
    },
    Kind {
        name: "personal_access_token_request",
        actor: &["/personal_access_token_request/owner"],
        time: &[("created", "/personal_access_token_request/created_at")],
        ..BASE
    },
    Kind {
        name: "project",
        time: &[("created", "/project/created_at"), ("deleted", ""), ("", "/project/updated_at")],
        ..BASE
    },
    Kind {
        name: "project_column",
        time: &[
            ("created", "/project_column/created_at"),
            ("deleted", ""),
            ("", "/project_column/updated_at"),
        ],
        ..BASE
    },
    Kind {
        name: "projects_v2_item",
        time: &[
            ("created", "/projects_v2_item/created_at"),
            ("archived", "/projects_v2_item/archived_at"),
            ("deleted", ""),
            ("", "/projects_v2_item/updated_at"),
        ],
        ..BASE
    },
    Kind { name: "public", time: &[("", "/repository/updated_at")], ..BASE },
    Kind {
        name: "pull_request",
        time: &[
            ("opened", "/pull_request/created_at"),
            ("closed", "/pull_request/closed_at"),
            ("", "/pull_request/updated_at"),
        ],
        also: special::pull_request,
        ..PULL_REQUEST
    },
    Kind {
        name: "pull_request_review",
        commit: &["/review/commit_id", "/pull_request/head/sha"],
        outcome: &[("submitted", "/review/state")],
        reason: &["/review/body"],
        time: &[
            ("submitted", "/review/submitted_at"),
            ("", "/review/updated_at"),
            ("", "/pull_request/updated_at"),
        ],
        ..PULL_REQUEST
    },
    Kind {
        name: "pull_request_review_comment",
        commit: &["/comment/commit_id", "/pull_request/head/sha"],
        time: &[("created", "/comment/created_at"), ("edited", "/comment/updated_at")],
        ..PULL_REQUEST
    },
    Kind {
        name: "pull_request_review_thread",
        time: &[("", "/updated_at"), ("", "/pull_request/updated_at")],
        ..PULL_REQUEST
    },
    Kind {
        name: "push",
        reference: &["/ref"],
        commit: &["/after", "/head_commit/id"],
        time: &[("", "/repository/pushed_at"), ("", "/head_commit/timestamp")],
        ..BASE
    },
    Kind {
        name: "registry_package",
        stage: &["publish"],
        commit: &["/registry_package/package_version/container_metadata/labels/revision"],
        time: &[
            ("published", "/registry_package/package_version/created_at"),
            // GitHub may send the year 1 for a version's times.
            ("", "/registry_package/package_version/updated_at"),
            ("", "/registry_package/updated_at"),
        ],
        also: special::package,
        ..BASE
    },
    Kind {
        name: "release",
        stage: &["release"],
        people: &["/release/author"],
        reference: &["/release/tag_name"],
        commit: &["/release/target_commitish"],
        // A release's created_at is its commit's date.
        time: &[
            ("published", "/release/published_at"),
            ("released", "/release/published_at"),
            ("prereleased", "/release/published_at"),
            ("deleted", ""),
            ("", "/release/updated_at"),
        ],
        also: special::release,
        ..BASE
    },
    Kind {
        name: "repository",
        time: &[("created", "/repository/created_at"), ("deleted", ""), ("", "/repository/updated_at")],
        ..BASE
    },
    Kind { name: "repository_dispatch", trigger: &["api"], reference: &["/branch"], ..BASE },
    Kind { name: "repository_import", outcome: &[("", "/status")], ..BASE },
    Kind {
        name: "repository_ruleset",
        time: &[("created", "/repository_ruleset/created_at"), ("edited", "/repository_ruleset/updated_at")],
        ..BASE
    },
    Kind {
        name: "secret_scanning_alert",
        stage: &["scan"],
        reason: &["/alert/resolution_comment", "/alert/resolution"],
        time: &[
            ("created", "/alert/created_at"),
            ("resolved", "/alert/resolved_at"),
            ("", "/alert/updated_at"),
        ],
        ..BASE
    },
    Kind {
        name: "security_advisory",
        time: &[
            ("published", "/security_advisory/published_at"),
            ("withdrawn", "/security_advisory/withdrawn_at"),
            ("", "/security_advisory/updated_at"),
        ],
        ..BASE
    },
    Kind { name: "sponsorship", time: &[("created", "/sponsorship/created_at")], ..BASE },
    Kind { name: "star", time: &[("created", "/starred_at")], ..BASE },
    Kind {
        name: "status",
        stage: &["/context"],
        outcome: &[("", "/state")],
        reason: &["/description"],
        reference: &["/branches/0/name"],
        commit: &["/sha"],
        time: &[("", "/updated_at"), ("", "/created_at")],
        also: special::status,
        ..BASE
    },
    Kind {
        name: "workflow_dispatch",
        trigger: &["manual"],
        pipeline: &["/workflow"],
        reference: &["/ref"],
        ..BASE
    },
    Kind {
        name: "workflow_job",
        stage: &["/workflow_job/name"],
        outcome: &[("completed", "/workflow_job/conclusion")],
        pipeline: &["/workflow_job/workflow_name"],
        run: &["/workflow_job/run_id"],
        attempt: &["/workflow_job/run_attempt"],
        job: &["/workflow_job/id"],
        reference: &["/workflow_job/head_branch"],
        commit: &["/workflow_job/head_sha"],
        environment: &["/deployment/environment"],
        runner: &["/workflow_job/runner_name"],
        labels: &["/workflow_job/labels"],
        time: &[
            ("completed", "/workflow_job/completed_at"),
            ("in_progress", "/workflow_job/started_at"),
            ("queued", "/workflow_job/created_at"),
            ("queued", "/workflow_job/started_at"),
            ("waiting", "/workflow_job/created_at"),
            ("waiting", "/workflow_job/started_at"),
        ],
        also: special::workflow_job,
        ..BASE
    },
    Kind {
        name: "workflow_run",
        people: &["/workflow_run/triggering_actor", "/workflow_run/actor"],
        outcome: &[("completed", "/workflow_run/conclusion")],
        trigger: &["/workflow_run/event"],
        pipeline: &["/workflow/name", "/workflow_run/name"],
        run: &["/workflow_run/id"],
        attempt: &["/workflow_run/run_attempt"],
        reference: &["/workflow_run/head_branch"],
        commit: &["/workflow_run/head_sha"],
        change: &["/workflow_run/pull_requests/0/number"],
        time: &[
            ("requested", "/workflow_run/run_started_at"),
            ("requested", "/workflow_run/created_at"),
            ("", "/workflow_run/updated_at"),
        ],
        also: special::workflow_run,
        ..BASE
    },
];
