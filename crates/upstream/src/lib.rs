//! Which endpoint: services, selections, policies and ejection.
