use subrosa_chain::{ChainError, Depth, RowOutcome, SkipReason, Wallet};
use subrosa_protocol::{Amount, Refund, Signed, Timestamp, U256};

use crate::world::{HOUR, Parties, on_chain};

#[test]
fn a_deposit_by_allowance_opens_a_channel() {
    on_chain(async |devnet| {
        let parties = Parties::meet(devnet).await;
        let id = parties.channel(1).id(&parties.chain.domain());
        assert_eq!(parties.chain.channel(id).await.unwrap(), None);

        parties.open(1, Amount(5_000)).await;
        parties.open(1, Amount(2_000)).await;

        let state = parties.chain.channel(id).await.unwrap().unwrap();
        assert_eq!(state.balance, Amount(7_000));
        assert_eq!(state.claimed, Amount::ZERO);
        assert_eq!(state.withdraw_requested_at, None);
        assert!(!state.closed);
        let left = parties.chain.token_balance(parties.payer.address()).await.unwrap();
        assert_eq!(left, Amount(993_000));
    });
}

#[test]
fn a_deposit_by_authorization_needs_no_gas_of_the_payer() {
    on_chain(async |devnet| {
        let parties = Parties::meet(devnet).await;
        let payer = Wallet::generate();
        devnet.mint(payer.address(), Amount(900)).await.unwrap();
        let mut config = parties.channel(1);
        config.payer = payer.address();

        let sender = devnet.operator(0);
        let chain = &parties.chain;
        chain.deposit_authorized(&sender, &config, Amount(900), payer.secret_key()).await.unwrap();

        let state = chain.channel(config.id(&chain.domain())).await.unwrap().unwrap();
        assert_eq!(state.balance, Amount(900));
        assert_eq!(chain.gas_balance(payer.address()).await.unwrap(), U256::ZERO);
    });
}

#[test]
fn an_authorization_by_another_than_the_payer_is_refused() {
    on_chain(async |devnet| {
        let parties = Parties::meet(devnet).await;
        let refusal = parties
            .chain
            .deposit_authorized(
                &devnet.operator(0),
                &parties.channel(1),
                Amount(1),
                &parties.signer,
            )
            .await
            .unwrap_err();
        assert!(matches!(&refusal, ChainError::Refused { hash: None, .. }), "{refusal}");
    });
}

#[test]
fn a_packed_claim_books_good_rows_and_passes_over_bad_ones() {
    on_chain(async |devnet| {
        let parties = Parties::meet(devnet).await;
        let [first, second, forged, empty] = [
            parties.open(1, Amount(5_000)).await,
            parties.open(2, Amount(300)).await,
            parties.open(3, Amount(300)).await,
            parties.channel(4),
        ];
        let rows = [
            parties.row(&first, 4_000, 3_900),
            parties.row_signed_by(&parties.signer, &forged, 300, 300),
            // More than the balance: capped, the rest stays claimable.
            parties.row(&second, 400, 400),
            parties.row(&empty, 10, 10),
        ];
        let batch = parties.batch(&rows);
        let (chain, sender) = (&parties.chain, devnet.operator(1));

        let claimed = chain.claim_packed(&sender, &rows, &batch).await.unwrap();
        assert_eq!(claimed.amount, Amount(4_200));
        assert_eq!(
            claimed.rows,
            [
                RowOutcome::Booked { total: Amount(3_900) },
                RowOutcome::Skipped(SkipReason::VoucherSignature),
                RowOutcome::Booked { total: Amount(300) },
                RowOutcome::Skipped(SkipReason::Unfunded),
            ]
        );

        let batch = parties.batch(&rows[..1]);
        let again = chain.claim_packed(&sender, &rows[..1], &batch).await.unwrap();
        assert_eq!(
            (again.amount, again.rows.as_slice()),
            (Amount::ZERO, [RowOutcome::Unchanged].as_slice())
        );

        let before = chain.token_balance(parties.payee.address()).await.unwrap();
        chain.settle(&sender, parties.payee.address()).await.unwrap();
        let after = chain.token_balance(parties.payee.address()).await.unwrap();
        assert_eq!((before, after), (Amount::ZERO, Amount(4_200)));
        let receiver = chain.receiver(parties.payee.address()).await.unwrap();
        assert_eq!((receiver.claimed, receiver.settled), (Amount(4_200), Amount(4_200)));
    });
}

#[test]
fn a_claim_that_the_signer_did_not_sign_is_refused_and_not_sent() {
    on_chain(async |devnet| {
        let mut parties = Parties::meet(devnet).await;
        let config = parties.open(1, Amount(100)).await;
        let rows = [parties.row(&config, 100, 100)];
        parties.signer = Wallet::generate().secret_key().clone();
        let batch = parties.batch(&rows);

        let sender = Wallet::generate();
        devnet.fund_gas(sender.address()).await.unwrap();
        let before = parties.chain.gas_balance(sender.address()).await.unwrap();
        let refusal = parties.chain.claim_packed(&sender, &rows, &batch).await.unwrap_err();
        assert!(refusal.to_string().contains("Escrow_AuthorizerSignature"), "{refusal}");
        assert!(matches!(refusal, ChainError::Refused { hash: None, .. }));
        assert_eq!(parties.chain.gas_balance(sender.address()).await.unwrap(), before);
    });
}

#[test]
fn a_withdrawal_waits_is_seen_by_its_pod_and_closes_the_channel() {
    on_chain(async |devnet| {
        let (ours, theirs) = (Parties::meet(devnet).await, Parties::meet(devnet).await);
        let (chain, payer) = (&ours.chain, &ours.payer);
        let (_, from) = chain.withdrawals(ours.payee.address(), 0).await.unwrap();
        let config = ours.open(1, Amount(5_000)).await;
        let id = config.id(&chain.domain());
        let other = theirs.open(1, Amount(5_000)).await;
        theirs.chain.initiate_withdraw(&theirs.payer, &other, Amount(1)).await.unwrap();

        chain.initiate_withdraw(payer, &config, Amount(5_000)).await.unwrap();
        let (begun, next) = chain.withdrawals(ours.payee.address(), from).await.unwrap();
        assert_eq!(begun, [id]);
        assert_eq!(chain.withdrawals(ours.payee.address(), next).await.unwrap().0, []);
        let state = chain.channel(id).await.unwrap().unwrap();
        assert!(state.withdraw_requested_at.is_some());
        assert_eq!(state.withdraw_amount, Amount(5_000));

        let early = chain.finalize_withdraw(payer, &config).await.unwrap_err();
        assert!(early.to_string().contains("Escrow_WithdrawalNotDue"), "{early}");

        // The pod still claims what it earned.
        let rows = [ours.row(&config, 1_000, 1_000)];
        chain.claim_packed(&devnet.operator(2), &rows, &ours.batch(&rows)).await.unwrap();
        devnet.skip(HOUR).await.unwrap();
        chain.finalize_withdraw(payer, &config).await.unwrap();

        let state = chain.channel(id).await.unwrap().unwrap();
        assert!(state.closed);
        assert_eq!((state.balance, state.claimed), (Amount(1_000), Amount(1_000)));
        let closed = chain.deposit(payer, &config, Amount(1)).await.unwrap_err();
        assert!(closed.to_string().contains("Escrow_ChannelClosed"), "{closed}");
    });
}

#[test]
fn a_refund_by_the_signers_leave_pays_back_at_once_and_only_once() {
    on_chain(async |devnet| {
        let parties = Parties::meet(devnet).await;
        let config = parties.open(1, Amount(5_000)).await;
        let (chain, sender) = (&parties.chain, devnet.operator(3));
        let id = config.id(&chain.domain());
        let nonce = chain.channel(id).await.unwrap().unwrap().refund_nonce;
        let refund = Refund { channel: id, nonce, amount: Amount(1_500) };
        let refund = Signed::sign(refund, &chain.domain(), &parties.signer);

        chain.refund(&sender, &config, &refund).await.unwrap();
        assert_eq!(chain.channel(id).await.unwrap().unwrap().balance, Amount(3_500));

        let replay = chain.refund(&sender, &config, &refund).await.unwrap_err();
        assert!(replay.to_string().contains("Escrow_RefundNonce"), "{replay}");
    });
}

#[test]
fn a_deposit_is_seen_at_final_depth_only_when_final() {
    on_chain(async |devnet| {
        let parties = Parties::meet(devnet).await;
        let config = parties.open(1, Amount(5_000)).await;
        let id = config.id(&parties.chain.domain());
        devnet.settle_down().await.unwrap();
        let state = parties.chain.channel_at(id, Depth::Final).await.unwrap().unwrap();
        assert_eq!(state.balance, Amount(5_000));
        let last = parties.chain.at(Depth::Final).await.unwrap();
        assert!(last.timestamp > Timestamp(0));
    });
}

#[test]
fn a_claim_tells_its_gas_beforehand() {
    on_chain(async |devnet| {
        let parties = Parties::meet(devnet).await;
        let config = parties.open(1, Amount(100)).await;
        let rows = [parties.row(&config, 100, 100)];
        let (batch, sender) = (parties.batch(&rows), devnet.operator(4));
        let chain = &parties.chain;
        let foreseen = chain.claim_gas(sender.address(), &rows, &batch).await.unwrap();
        let claimed = chain.claim_packed(&sender, &rows, &batch).await.unwrap();
        let spent = claimed.mined.gas;
        assert!((spent..spent * 3 / 2).contains(&foreseen), "{foreseen} for {spent}");
    });
}
