"""What runs when: settings, queues, jobs, the retrain policy, reconcile and the gate."""
