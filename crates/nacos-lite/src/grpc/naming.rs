//! Requests about services.

use pailou_nacos::wire::{
    BatchInstanceRequest, BatchInstanceResponse, HostInfo, InstanceRequest, InstanceResponse,
    PersistentInstanceRequest, QueryServiceResponse, ServiceInfo, ServiceListRequest,
    ServiceListResponse, ServiceQueryRequest, SubscribeServiceRequest, SubscribeServiceResponse,
    instance_type,
};

use super::{connection::Connection, unary::Failure};
use crate::{DEFAULT_GROUP, Instance, ServiceKey, names::check, state::Owner};

pub(super) fn instance(
    connection: &Connection,
    request: InstanceRequest,
) -> Result<InstanceResponse, Failure> {
    let key = service(request.namespace, request.group_name, request.service_name)?;
    match request.r#type.as_str() {
        instance_type::REGISTER => register(connection, &key, vec![request.instance])?,
        instance_type::DEREGISTER => {
            let owner = Owner::Connection(connection.id);
            connection
                .core
                .with(|state, now| state.deregister(&owner, &key, now));
        }
        other => return Err(Failure::unsupported(other)),
    }
    Ok(InstanceResponse {
        r#type: Some(request.r#type),
        ..InstanceResponse::default()
    })
}

/// What this registers belongs to no connection.
pub(super) fn persistent(
    connection: &Connection,
    request: PersistentInstanceRequest,
) -> Result<InstanceResponse, Failure> {
    let key = service(request.namespace, request.group_name, request.service_name)?;
    // It is persistent whatever the instance says of itself.
    let instance = Instance {
        ephemeral: false,
        ..Instance::from(request.instance)
    };
    let owner = Owner::nobody(&instance);
    match request.r#type.as_str() {
        instance_type::REGISTER => {
            check::instance(&instance).map_err(Failure::parameter)?;
            connection
                .core
                .with(|state, now| state.register(owner, &key, vec![instance], now))?;
        }
        instance_type::DEREGISTER => {
            connection
                .core
                .with(|state, now| state.deregister(&owner, &key, now));
        }
        other => return Err(Failure::unsupported(other)),
    }
    Ok(InstanceResponse {
        r#type: Some(request.r#type),
        ..InstanceResponse::default()
    })
}

pub(super) fn batch(
    connection: &Connection,
    request: BatchInstanceRequest,
) -> Result<BatchInstanceResponse, Failure> {
    let key = service(request.namespace, request.group_name, request.service_name)?;
    if request.r#type != instance_type::BATCH_REGISTER {
        return Err(Failure::unsupported(&request.r#type));
    }
    register(connection, &key, request.instances)?;
    Ok(BatchInstanceResponse {
        r#type: Some(request.r#type),
        ..BatchInstanceResponse::default()
    })
}

pub(super) fn query(
    connection: &Connection,
    request: ServiceQueryRequest,
    truth: bool,
) -> Result<QueryServiceResponse, Failure> {
    let key = service(request.namespace, request.group_name, request.service_name)?;
    let info = connection
        .core
        .with(|state, _| state.service_info(&key, &request.cluster, request.healthy_only));
    Ok(QueryServiceResponse {
        service_info: Some(spoiled(info, truth)),
        ..QueryServiceResponse::default()
    })
}

pub(super) fn subscribe(
    connection: &Connection,
    request: SubscribeServiceRequest,
    truth: bool,
) -> Result<SubscribeServiceResponse, Failure> {
    let key = service(request.namespace, request.group_name, request.service_name)?;
    let info = connection.core.with(|state, now| {
        if request.subscribe {
            state.subscribe(connection.id, &key, &request.clusters, now)?;
        } else {
            state.unsubscribe(connection.id, &key, now);
        }
        Ok::<_, Failure>(state.service_info(&key, &request.clusters, false))
    })?;
    Ok(SubscribeServiceResponse {
        message: Some("success".into()),
        service_info: Some(spoiled(info, truth)),
        ..SubscribeServiceResponse::default()
    })
}

pub(super) fn list(
    connection: &Connection,
    request: &ServiceListRequest,
) -> Result<ServiceListResponse, Failure> {
    let group = if request.group_name.is_empty() {
        DEFAULT_GROUP
    } else {
        &request.group_name
    };
    let (page, size) = (
        positive(request.page_no, 1),
        positive(request.page_size, 10),
    );
    let (count, service_names) = connection
        .core
        .with(|state, _| state.service_names(&request.namespace, group, page, size));
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    Ok(ServiceListResponse {
        count,
        service_names,
        ..ServiceListResponse::default()
    })
}

fn register(
    connection: &Connection,
    key: &ServiceKey,
    hosts: Vec<HostInfo>,
) -> Result<(), Failure> {
    let ephemeral = |host| Instance {
        ephemeral: true,
        ..Instance::from(host)
    };
    let instances: Vec<Instance> = hosts.into_iter().map(ephemeral).collect();
    for instance in &instances {
        check::instance(instance).map_err(Failure::parameter)?;
    }
    let owner = Owner::Connection(connection.id);
    Ok(connection
        .core
        .with(|state, now| state.register(owner, key, instances, now))?)
}

fn service(namespace: String, group: String, name: String) -> Result<ServiceKey, Failure> {
    let key = ServiceKey::new(namespace, group, name);
    check::service(&key).map_err(Failure::parameter)?;
    Ok(key)
}

fn spoiled(mut info: ServiceInfo, truth: bool) -> ServiceInfo {
    if !truth {
        info.hosts = Some(Vec::new());
    }
    info
}

fn positive(number: i64, default: usize) -> usize {
    usize::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .unwrap_or(default)
}
