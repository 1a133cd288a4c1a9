//! Which kinds of agents there are. One line for each, in the order of their names.

use genii_runtime::Catalogue;

use crate::being::Being;
use crate::being::process::BeingProcess;
use crate::being::relay::BeingRelay;
use crate::beings::home::Home;
use crate::beings::registry::Registry;
use crate::core::system_digital_twin::SystemDigitalTwin;
use crate::pc2_core::health_monitor::HealthMonitor;
use crate::pc2_core::resource_manager::ResourceManager;
use crate::pc2_core::unified_error::UnifiedError;

/// The agents that genii brings along. `with_house` for those that look at the house as a whole.
pub fn catalogue() -> Catalogue {
    Catalogue::new()
        .with::<Being>("being")
        .with::<BeingProcess>("being-process")
        .with::<BeingRelay>("being-relay")
        .with_house::<Home>("beings-home")
        .with::<Registry>("beings-registry")
        .with_house::<HealthMonitor>("health-monitor")
        .with_house::<ResourceManager>("resource-manager")
        .with_house::<SystemDigitalTwin>("system-digital-twin")
        .with_house::<UnifiedError>("unified-error")
}
