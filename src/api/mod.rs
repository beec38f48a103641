//! The `ScalingPolicy` custom resource as it is written in YAML.
