"""The guided tour and the sample data that it uses."""
