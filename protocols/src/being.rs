//! What is said to `being/ID`: an isolated mind that remembers.

mod info;
mod memory;
mod reminder;
mod saying;
mod talk;

pub use info::{
    AskHealth, BeingHealth, BeingInfo, CoreBlock, NotChanged, ProviderInfo, SetBudget, SetCore,
    SetProvider, ShowBeing, ShowProvider, UpdateCharacter,
};
pub use memory::{
    AtStake, Export, Exported, Forget, Forgettable, Forgotten, FoundWord, History, Likeness,
    Memory, MemoryKind, NamedSpeaker, NotKept, Reasons, RecallMemories, Recollection,
    Recollections, Remember, ShowHistory, Turn, WouldForget,
};
pub use reminder::{
    BeingReminded, CancelReminder, HeedReminders, Heeded, ListReminders, Remind, Reminder,
    Reminders,
};
pub use saying::{NotSaid, Said, Say};
pub use talk::{Answered, Converse, NotAnswered, ProviderFault, Query};
