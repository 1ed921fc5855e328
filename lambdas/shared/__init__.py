"""What several architectures share: functions that they deploy, and the modules here, which every function ships."""
