//! Text to specs: gateway.yaml and route documents, with the position of every fault.
