//! Access rights by librdkafka: rust-rdkafka 0.39 has no calls for them.

use std::ffi::{CString, c_char};
use std::ptr::null;
use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_AclOperation_t as Op;
use sys::rd_kafka_AclPermissionType_t as Permission;
use sys::rd_kafka_ResourcePatternType_t as PatternType;
use sys::rd_kafka_ResourceType_t as ResourceType;
use sys::rd_kafka_admin_op_t as AdminOp;

use super::{Owned, ask, text};
use crate::acls::{Acl, Operation, Pattern, Resource};
use crate::log::LogError;

type Event = Owned<sys::rd_kafka_event_t>;

/// Every right that bears on a topic or group: its own, those by prefix, those of `*`. A broker
/// without an authorizer has none: librdkafka 2.12.1 does not hand its error on. `rk` must be a
/// live client's handle.
pub fn describe_acls(
    rk: *mut sys::rd_kafka_t,
    resource: Resource,
    name: &str,
    timeout: Duration,
) -> Result<Vec<Acl>, LogError> {
    let failed = |reason: &str| LogError::call("acls", format!("{name}: {reason}"));
    let name = CString::new(name).map_err(|_| failed("a name with a zero byte"))?;
    let mut reason = [0 as c_char; 256];
    // SAFETY: `rk` is a live client's handle (the caller's promise); the library copies the filter
    // and its name; the answer and its rights are owned by the event, which lives to the end.
    unsafe {
        let filter = sys::rd_kafka_AclBindingFilter_new(
            resource_type(resource),
            name.as_ptr(),
            PatternType::RD_KAFKA_RESOURCE_PATTERN_MATCH,
            null(),
            null(),
            Op::RD_KAFKA_ACL_OPERATION_ANY,
            Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
            reason.as_mut_ptr(),
            reason.len(),
        );
        let filter = Owned::new(filter, sys::rd_kafka_AclBinding_destroy)
            .ok_or_else(|| failed(&text(reason.as_ptr())))?;
        let event = ask(rk, AdminOp::RD_KAFKA_ADMIN_OP_DESCRIBEACLS, timeout, |options, queue| {
            sys::rd_kafka_DescribeAcls(rk, filter.ptr, options, queue);
        });
        let event = answered(event, "acls", timeout)?;
        let result = sys::rd_kafka_event_DescribeAcls_result(event.ptr);
        let mut count = 0;
        let found = sys::rd_kafka_DescribeAcls_result_acls(result, &mut count);
        if found.is_null() {
            return Ok(Vec::new());
        }
        Ok(std::slice::from_raw_parts(found, count).iter().map(|acl| read(*acl)).collect())
    }
}

/// Gives a right. `rk` must be a live client's handle.
pub fn create_acl(rk: *mut sys::rd_kafka_t, acl: &Acl, timeout: Duration) -> Result<(), LogError> {
    let failed = |reason: &str| LogError::call("grant", format!("{acl}: {reason}"));
    // SAFETY: `rk` is a live client's handle (the caller's promise); the library copies the right;
    // the answer is owned by the event, which lives to the end.
    unsafe {
        let binding = binding(acl).map_err(|reason| failed(&reason))?;
        let mut all = [binding.ptr];
        let event = ask(rk, AdminOp::RD_KAFKA_ADMIN_OP_CREATEACLS, timeout, |options, queue| {
            sys::rd_kafka_CreateAcls(rk, all.as_mut_ptr(), all.len(), options, queue);
        });
        let event = answered(event, "grant", timeout)?;
        let result = sys::rd_kafka_event_CreateAcls_result(event.ptr);
        let mut count = 0;
        let results = sys::rd_kafka_CreateAcls_result_acls(result, &mut count);
        if results.is_null() || count == 0 {
            return Err(failed("no result"));
        }
        let error = sys::rd_kafka_acl_result_error(*results);
        if error.is_null() {
            return Ok(());
        }
        Err(failed(&text(sys::rd_kafka_error_string(error))))
    }
}

fn binding(acl: &Acl) -> Result<Owned<sys::rd_kafka_AclBinding_t>, String> {
    let zero = |_| "a name with a zero byte".to_owned();
    let name = CString::new(acl.name.as_str()).map_err(zero)?;
    let principal = CString::new(acl.principal.as_str()).map_err(zero)?;
    let host = CString::new(acl.host.as_str()).map_err(zero)?;
    let permission = match acl.is_denied {
        true => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
        false => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
    };
    let mut reason = [0 as c_char; 256];
    // SAFETY: the texts are terminated and outlive the call, which copies them.
    unsafe {
        let made = sys::rd_kafka_AclBinding_new(
            resource_type(acl.resource),
            name.as_ptr(),
            pattern_type(acl.pattern),
            principal.as_ptr(),
            host.as_ptr(),
            code(acl.operation),
            permission,
            reason.as_mut_ptr(),
            reason.len(),
        );
        Owned::new(made, sys::rd_kafka_AclBinding_destroy).ok_or_else(|| text(reason.as_ptr()))
    }
}

/// # Safety
/// `acl` must point at a right whose event is alive.
unsafe fn read(acl: *const sys::rd_kafka_AclBinding_t) -> Acl {
    // SAFETY: the right is alive (the caller's promise) and owns its texts, which are copied.
    unsafe {
        Acl {
            resource: match sys::rd_kafka_AclBinding_restype(acl) {
                ResourceType::RD_KAFKA_RESOURCE_GROUP => Resource::Group,
                _ => Resource::Topic,
            },
            name: text(sys::rd_kafka_AclBinding_name(acl)),
            pattern: match sys::rd_kafka_AclBinding_resource_pattern_type(acl) {
                PatternType::RD_KAFKA_RESOURCE_PATTERN_PREFIXED => Pattern::Prefixed,
                _ => Pattern::Literal,
            },
            principal: text(sys::rd_kafka_AclBinding_principal(acl)),
            host: text(sys::rd_kafka_AclBinding_host(acl)),
            operation: match sys::rd_kafka_AclBinding_operation(acl) {
                Op::RD_KAFKA_ACL_OPERATION_ALL => Operation::All,
                Op::RD_KAFKA_ACL_OPERATION_READ => Operation::Read,
                Op::RD_KAFKA_ACL_OPERATION_WRITE => Operation::Write,
                Op::RD_KAFKA_ACL_OPERATION_DESCRIBE => Operation::Describe,
                Op::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Operation::DescribeConfigs,
                _ => Operation::Other,
            },
            is_denied: sys::rd_kafka_AclBinding_permission_type(acl)
                == Permission::RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
        }
    }
}

fn resource_type(resource: Resource) -> ResourceType {
    match resource {
        Resource::Topic => ResourceType::RD_KAFKA_RESOURCE_TOPIC,
        Resource::Group => ResourceType::RD_KAFKA_RESOURCE_GROUP,
    }
}

fn pattern_type(pattern: Pattern) -> PatternType {
    match pattern {
        Pattern::Literal => PatternType::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
        Pattern::Prefixed => PatternType::RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
    }
}

fn code(operation: Operation) -> Op {
    match operation {
        Operation::All => Op::RD_KAFKA_ACL_OPERATION_ALL,
        Operation::Read => Op::RD_KAFKA_ACL_OPERATION_READ,
        Operation::Write => Op::RD_KAFKA_ACL_OPERATION_WRITE,
        Operation::Describe => Op::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        Operation::DescribeConfigs => Op::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        // The broker refuses it: a right that we do not know is only read.
        Operation::Other => Op::RD_KAFKA_ACL_OPERATION_UNKNOWN,
    }
}

/// The event, if it came and is no error.
fn answered(event: Option<Event>, call: &'static str, limit: Duration) -> Result<Event, LogError> {
    let event = event.ok_or(LogError::Timeout { call, limit })?;
    // SAFETY: the event is not null and is owned here; its text is copied.
    unsafe {
        match sys::rd_kafka_event_error(event.ptr) {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(event),
            _ => Err(LogError::call(call, text(sys::rd_kafka_event_error_string(event.ptr)))),
        }
    }
}
